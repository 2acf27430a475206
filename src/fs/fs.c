/* Opening and closing a volume, its tasks, its sizes. */
#include "fs/internal.h"

#define DIRTY_BYTES (64u << 20)
#define BLOCKS_MORE 8u /* than large writes may fill: into these requests are read meanwhile */
#define INODE_CACHE 8192u

static int make_root(struct sfs_fs *fs)
{
    uint8_t bytes[SFS_INODE_BYTES];
    uint32_t len;
    int err = sfs_tree_get(fs->store, fs->volume, sfs_fs_key(SFS_ROOT_INODE, SFS_KEY_INODE, 0),
                           bytes, sizeof bytes, &len);
    if (err != SCALEFS_E_NOENT)
        return err;
    struct sfs_inode_value v = {.mode = SCALEFS_S_IFDIR | 0755u,
                                .links = 2,
                                .uid = fs->options.root_uid,
                                .gid = fs->options.root_gid,
                                .parent = SFS_ROOT_INODE};
    v.atime = v.mtime = v.ctime = v.btime = sfs_fs_now(fs);
    struct sfs_tx tx;
    sfs_tx_init(&tx, fs->store);
    sfs_fs_put_value(fs, &tx, SFS_ROOT_INODE, &v, 0);
    sfs_fs_count_inode(fs, &tx, 1);
    err = sfs_tx_commit(&tx);
    sfs_tx_deinit(&tx);
    return err;
}

static int flush_for_store(void *context)
{
    return sfs_fs_flush_all(context);
}

static int start(struct sfs_fs *fs)
{
    sfs_store_set_namer(fs->store, sfs_fs_name_lost, fs);
    if (fs->options.read_only)
        return SCALEFS_OK;
    sfs_store_set_flusher(fs->store, flush_for_store, fs);
    int err = sfs_fs_orphans_load(fs);
    if (err)
        return err;
    if (fs->options.no_background) {
        sfs_fs_orphans_finish(fs);
        return SCALEFS_OK;
    }
    err = sfs_task_start(fs->env, "fs-writer", sfs_fs_writer, fs, &fs->writer);
    if (!err)
        err = sfs_task_start(fs->env, "fs-reaper", sfs_fs_reaper, fs, &fs->reaper);
    return err;
}

static void stop(struct sfs_fs *fs)
{
    sfs_mutex_lock(&fs->mutex);
    fs->stop = true;
    sfs_cond_broadcast(&fs->work);
    sfs_mutex_unlock(&fs->mutex);
    if (fs->writer)
        sfs_task_join(fs->env, fs->writer);
    if (fs->reaper)
        sfs_task_join(fs->env, fs->reaper);
    fs->writer = fs->reaper = NULL;
}

static void destroy(struct sfs_fs *fs)
{
    sfs_store_set_flusher(fs->store, NULL, NULL);
    sfs_store_set_namer(fs->store, NULL, NULL);
    sfs_fs_inodes_free(fs);
    sfs_fs_blocks_deinit(&fs->blocks);
    sfs_map_deinit(&fs->inodes);
    sfs_map_deinit(&fs->holds);
    sfs_map_deinit(&fs->cut_first);
    sfs_map_deinit(&fs->unlinked);
    sfs_free(fs->env, fs->orphans);
    sfs_free(fs->env, fs->lost);
    sfs_cond_deinit(&fs->settled);
    sfs_cond_deinit(&fs->work);
    sfs_cond_deinit(&fs->dirty_less);
    sfs_mutex_deinit(&fs->mutex);
    sfs_mutex_deinit(&fs->rename);
    sfs_free(fs->env, fs);
}

int sfs_fs_open(struct sfs_store *store, uint32_t volume, const struct sfs_fs_options *options,
                struct sfs_fs **out)
{
    struct sfs_env *env = sfs_store_env(store);
    struct sfs_fs *fs = sfs_zalloc(env, sizeof *fs);
    *out = NULL;
    if (!fs)
        return SCALEFS_E_NOMEM;
    fs->env = env;
    fs->store = store;
    fs->volume = volume;
    fs->options = *options;
    if (!fs->options.dirty_bytes)
        fs->options.dirty_bytes = DIRTY_BYTES;
    if (!fs->options.inode_cache)
        fs->options.inode_cache = INODE_CACHE;
    uint64_t blocks = fs->options.dirty_bytes / 2 / SFS_FS_SEGMENT_BYTES;
    sfs_fs_blocks_init(&fs->blocks, env, (uint32_t)blocks + BLOCKS_MORE);
    sfs_mutex_init(&fs->rename, env);
    sfs_mutex_init(&fs->mutex, env);
    sfs_cond_init(&fs->dirty_less, env);
    sfs_cond_init(&fs->work, env);
    sfs_cond_init(&fs->settled, env);
    sfs_map_init(&fs->inodes, env);
    sfs_map_init(&fs->holds, env);
    sfs_map_init(&fs->cut_first, env);
    sfs_map_init(&fs->unlinked, env);
    /* A pool that is new and may not be written looks like an empty volume. */
    int err = SCALEFS_OK;
    if (!sfs_tree_exists(store, volume) && !options->read_only)
        err = sfs_tree_volume_make(store, volume, "");
    if (!err && sfs_tree_exists(store, volume))
        err = sfs_tree_volume_salt(store, volume, fs->salt);
    if (!err && !options->read_only)
        err = make_root(fs);
    if (!err)
        err = start(fs);
    if (err) {
        stop(fs);
        destroy(fs);
        return err;
    }
    *out = fs;
    return SCALEFS_OK;
}

int sfs_fs_close(struct sfs_fs *fs)
{
    stop(fs);
    int err = fs->options.read_only ? SCALEFS_OK : sfs_fs_flush_all(fs);
    destroy(fs);
    return err;
}

void sfs_fs_abandon(struct sfs_fs *fs)
{
    stop(fs);
    destroy(fs);
}

int sfs_fs_flush(struct sfs_fs *fs)
{
    return fs->options.read_only ? SCALEFS_OK : sfs_fs_flush_all(fs);
}

int sfs_fs_sync(struct sfs_fs *fs)
{
    if (fs->options.read_only)
        return SCALEFS_OK;
    int err = sfs_fs_flush_all(fs);
    return err ? err : sfs_store_sync(fs->store);
}

uint64_t sfs_fs_dirty_bytes(struct sfs_fs *fs)
{
    sfs_mutex_lock(&fs->mutex);
    uint64_t bytes = fs->dirty_memory;
    sfs_mutex_unlock(&fs->mutex);
    return bytes;
}

void sfs_fs_settle(struct sfs_fs *fs)
{
    sfs_mutex_lock(&fs->mutex);
    while (fs->reaping || fs->orphan_count)
        sfs_cond_wait(&fs->settled, &fs->mutex);
    sfs_mutex_unlock(&fs->mutex);
}

int sfs_fs_statfs(struct sfs_fs *fs, struct scalefs_statfs *st)
{
    struct sfs_space space;
    sfs_store_space(fs->store, &space);
    /* What has been accepted into memory is counted as used by its reservation, in the store. */
    *st = (struct scalefs_statfs){.total = space.used + space.free, .free = space.free};
    uint8_t counts[SFS_VALUE_MAX];
    uint32_t len = 0;
    int err = sfs_tree_get(fs->store, fs->volume, sfs_fs_key(0, SFS_KEY_COUNTS, 0), counts, sizeof counts, &len);
    if (!err && len >= 8)
        st->files = sfs_get64(counts);
    return err == SCALEFS_E_NOENT ? SCALEFS_OK : err;
}
