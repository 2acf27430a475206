/* Compression (zstd) with contexts that are used again, and buffers for I/O that are used again. */
#include <zstd.h>

#include "store/internal.h"

void *sfs_buffer_get(struct sfs_store *s, size_t bytes)
{
    if (bytes > SFS_BUFFER_LARGE)
        return sfs_alloc_io(s->env, bytes);
    bool large = bytes > SFS_BUFFER_SMALL;
    void *b = NULL;
    sfs_mutex_lock(&s->spare_lock);
    if (large && s->large_count > 0)
        b = s->large[--s->large_count];
    else if (!large && s->small_count > 0)
        b = s->small[--s->small_count];
    sfs_mutex_unlock(&s->spare_lock);
    return b ? b : sfs_alloc_io(s->env, large ? SFS_BUFFER_LARGE : SFS_BUFFER_SMALL);
}

void sfs_buffer_put(struct sfs_store *s, void *buffer, size_t bytes)
{
    if (buffer && bytes <= SFS_BUFFER_LARGE) {
        bool large = bytes > SFS_BUFFER_SMALL;
        sfs_mutex_lock(&s->spare_lock);
        if (large && s->large_count < sizeof s->large / sizeof *s->large) {
            s->large[s->large_count++] = buffer;
            buffer = NULL;
        } else if (!large && s->small_count < sizeof s->small / sizeof *s->small) {
            s->small[s->small_count++] = buffer;
            buffer = NULL;
        }
        sfs_mutex_unlock(&s->spare_lock);
    }
    sfs_free(s->env, buffer);
}

static void *context_get(struct sfs_store *s, void **spare, unsigned *count)
{
    sfs_mutex_lock(&s->spare_lock);
    void *c = *count > 0 ? spare[--*count] : NULL;
    sfs_mutex_unlock(&s->spare_lock);
    return c;
}

/* False when the shelf is full: the caller frees it. */
static bool context_put(struct sfs_store *s, void **spare, unsigned *count, void *c)
{
    sfs_mutex_lock(&s->spare_lock);
    bool kept = *count < 8;
    if (kept)
        spare[(*count)++] = c;
    sfs_mutex_unlock(&s->spare_lock);
    return kept;
}

uint32_t sfs_compress(struct sfs_store *s, int level, const void *in, uint32_t len, void *out, uint32_t room)
{
    ZSTD_CCtx *c = context_get(s, s->compressors, &s->compressor_count);
    if (!c)
        c = ZSTD_createCCtx();
    if (!c)
        return 0;
    size_t n = ZSTD_compressCCtx(c, out, room, in, len, level);
    if (!context_put(s, s->compressors, &s->compressor_count, c))
        ZSTD_freeCCtx(c);
    return ZSTD_isError(n) ? 0 : (uint32_t)n;
}

bool sfs_decompress(struct sfs_store *s, const void *in, uint32_t len, void *out, uint32_t raw)
{
    ZSTD_DCtx *c = context_get(s, s->decompressors, &s->decompressor_count);
    if (!c)
        c = ZSTD_createDCtx();
    if (!c)
        return false;
    size_t n = ZSTD_decompressDCtx(c, out, raw, in, len);
    if (!context_put(s, s->decompressors, &s->decompressor_count, c))
        ZSTD_freeDCtx(c);
    return !ZSTD_isError(n) && n == raw;
}

void sfs_pack_deinit(struct sfs_store *s)
{
    while (s->small_count > 0)
        sfs_free(s->env, s->small[--s->small_count]);
    while (s->large_count > 0)
        sfs_free(s->env, s->large[--s->large_count]);
    while (s->compressor_count > 0)
        ZSTD_freeCCtx(s->compressors[--s->compressor_count]);
    while (s->decompressor_count > 0)
        ZSTD_freeDCtx(s->decompressors[--s->decompressor_count]);
}
