/* Memory of about a megabyte that comes and goes with each large write: a bounded number of blocks, used again.
 *
 * Whoever has one and writes most of it gives it away: the file's dirty data lies where it was written, until it is flushed.
 * From the allocator such memory would cost a fault for each page, each time, and leave the heap in pieces. When all are given
 * away there is none to be had, and what is written is copied.
 */
#include "fs/internal.h"

/* Stands behind the bytes of a block. */
struct block {
    struct sfs_fs_blocks *blocks;
    struct block *next;
    uint8_t *bytes;
};

_Static_assert(SCALEFS_KEEP_MEMORY % sizeof(void *) == 0, "what stands behind it is aligned");

static struct block *block_of(void *memory)
{
    void *at = (uint8_t *)memory + SCALEFS_KEEP_MEMORY;
    return at;
}

void sfs_fs_blocks_init(struct sfs_fs_blocks *b, struct sfs_env *env, uint32_t most)
{
    *b = (struct sfs_fs_blocks){.env = env, .most = most};
    sfs_mutex_init(&b->mutex, env);
}

void sfs_fs_blocks_deinit(struct sfs_fs_blocks *b)
{
    while (b->free) {
        struct block *block = b->free;
        b->free = block->next;
        b->made--;
        sfs_free(b->env, block->bytes);
    }
    SFS_ASSERT(b->made == 0); /* all were given back */
    sfs_mutex_deinit(&b->mutex);
}

void *sfs_fs_block_get(struct sfs_fs_blocks *b)
{
    sfs_mutex_lock(&b->mutex);
    struct block *block = b->free;
    bool make = !block && b->made < b->most;
    if (block)
        b->free = block->next;
    b->made += make;
    sfs_mutex_unlock(&b->mutex);
    if (!make)
        return block ? block->bytes : NULL;
    uint8_t *bytes = sfs_alloc_io(b->env, SCALEFS_KEEP_MEMORY + sizeof *block);
    if (bytes) {
        *block_of(bytes) = (struct block){.blocks = b, .bytes = bytes};
        return bytes;
    }
    sfs_mutex_lock(&b->mutex);
    b->made--;
    sfs_mutex_unlock(&b->mutex);
    return NULL;
}

void sfs_fs_block_put(void *memory)
{
    struct block *block = block_of(memory);
    struct sfs_fs_blocks *b = block->blocks;
    sfs_mutex_lock(&b->mutex);
    block->next = b->free;
    b->free = block;
    sfs_mutex_unlock(&b->mutex);
}
