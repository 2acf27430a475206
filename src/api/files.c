/* Files: the public calls, each passed on to the volume after its pointers were looked at. */
#include "api/internal.h"

int scalefs_lookup(struct scalefs_fs *fs, uint64_t dir, const char *name, size_t name_len,
                   struct scalefs_attr *attr)
{
    if (!fs || !name || !attr)
        return SCALEFS_E_INVAL;
    return sfs_fs_lookup(fs->fs, dir, name, name_len, attr);
}

int scalefs_getattr(struct scalefs_fs *fs, uint64_t ino, struct scalefs_attr *attr)
{
    if (!fs || !attr)
        return SCALEFS_E_INVAL;
    return sfs_fs_getattr(fs->fs, ino, attr);
}

int scalefs_setattr(struct scalefs_fs *fs, uint64_t ino, const struct scalefs_attr *values,
                    unsigned mask, struct scalefs_attr *attr)
{
    if (!fs || !values)
        return SCALEFS_E_INVAL;
    return sfs_fs_setattr(fs->fs, ino, values, mask, attr);
}

int scalefs_mknod(struct scalefs_fs *fs, uint64_t dir, const char *name, size_t name_len,
                  uint32_t mode, uint32_t rdev_major, uint32_t rdev_minor,
                  struct scalefs_owner owner, struct scalefs_attr *attr)
{
    if (!fs || !name)
        return SCALEFS_E_INVAL;
    return sfs_fs_mknod(fs->fs, dir, name, name_len, mode, rdev_major, rdev_minor, owner, attr);
}

int scalefs_symlink(struct scalefs_fs *fs, uint64_t dir, const char *name, size_t name_len,
                    const char *target, size_t target_len, struct scalefs_owner owner,
                    struct scalefs_attr *attr)
{
    if (!fs || !name || !target)
        return SCALEFS_E_INVAL;
    return sfs_fs_symlink(fs->fs, dir, name, name_len, target, target_len, owner, attr);
}

int scalefs_tmpfile(struct scalefs_fs *fs, uint64_t dir, uint32_t mode, struct scalefs_owner owner,
                    struct scalefs_attr *attr)
{
    if (!fs)
        return SCALEFS_E_INVAL;
    return sfs_fs_tmpfile(fs->fs, dir, mode, owner, attr);
}

int scalefs_readlink(struct scalefs_fs *fs, uint64_t ino, char *buf, size_t size, size_t *len)
{
    if (!fs || !buf || !len)
        return SCALEFS_E_INVAL;
    return sfs_fs_readlink(fs->fs, ino, buf, size, len);
}

int scalefs_link(struct scalefs_fs *fs, uint64_t ino, uint64_t dir, const char *name,
                 size_t name_len, struct scalefs_attr *attr)
{
    if (!fs || !name)
        return SCALEFS_E_INVAL;
    return sfs_fs_link(fs->fs, ino, dir, name, name_len, attr);
}

int scalefs_unlink(struct scalefs_fs *fs, uint64_t dir, const char *name, size_t name_len)
{
    if (!fs || !name)
        return SCALEFS_E_INVAL;
    return sfs_fs_unlink(fs->fs, dir, name, name_len);
}

int scalefs_rmdir(struct scalefs_fs *fs, uint64_t dir, const char *name, size_t name_len)
{
    if (!fs || !name)
        return SCALEFS_E_INVAL;
    return sfs_fs_rmdir(fs->fs, dir, name, name_len);
}

int scalefs_rename(struct scalefs_fs *fs, uint64_t dir, const char *name, size_t name_len,
                   uint64_t new_dir, const char *new_name, size_t new_name_len, unsigned flags)
{
    if (!fs || !name || !new_name)
        return SCALEFS_E_INVAL;
    return sfs_fs_rename(fs->fs, dir, name, name_len, new_dir, new_name, new_name_len, flags);
}

int scalefs_hold(struct scalefs_fs *fs, uint64_t ino)
{
    if (!fs)
        return SCALEFS_E_INVAL;
    return sfs_fs_hold(fs->fs, ino);
}

void scalefs_release_hold(struct scalefs_fs *fs, uint64_t ino, uint64_t count)
{
    if (fs)
        sfs_fs_release_hold(fs->fs, ino, count);
}

int scalefs_readdir(struct scalefs_fs *fs, uint64_t dir, uint64_t cookie, bool with_attr,
                    bool (*each)(void *context, const struct scalefs_dirent *entry), void *context)
{
    if (!fs || !each)
        return SCALEFS_E_INVAL;
    return sfs_fs_readdir(fs->fs, dir, cookie, with_attr, each, context);
}

int scalefs_parent(struct scalefs_fs *fs, uint64_t dir, uint64_t *parent)
{
    if (!fs || !parent)
        return SCALEFS_E_INVAL;
    return sfs_fs_parent(fs->fs, dir, parent);
}

int scalefs_read(struct scalefs_fs *fs, uint64_t ino, uint64_t offset, void *buf, size_t len,
                 size_t *done)
{
    if (!fs || !done || (len && !buf))
        return SCALEFS_E_INVAL;
    return sfs_fs_read(fs->fs, ino, offset, buf, len, done);
}

int scalefs_write(struct scalefs_fs *fs, uint64_t ino, uint64_t offset, const void *buf, size_t len)
{
    if (!fs || (len && !buf))
        return SCALEFS_E_INVAL;
    return sfs_fs_write(fs->fs, ino, offset, buf, len);
}

int scalefs_write_keep(struct scalefs_fs *fs, uint64_t ino, uint64_t offset, void **memory, void *buf, size_t len)
{
    if (!fs || !memory || !*memory)
        return SCALEFS_E_INVAL;
    uintptr_t at = (uintptr_t)buf - (uintptr_t)*memory; /* beyond the end also when buf is before it */
    if (at > SCALEFS_KEEP_MEMORY || len > SCALEFS_KEEP_MEMORY - at)
        return SCALEFS_E_INVAL;
    return sfs_fs_write_keep(fs->fs, ino, offset, memory, buf, len);
}

void *scalefs_memory_get(struct scalefs_fs *fs)
{
    return fs ? sfs_fs_memory_get(fs->fs) : NULL;
}

void scalefs_memory_put(struct scalefs_fs *fs, void *memory)
{
    if (fs && memory)
        sfs_fs_memory_put(memory);
}

int scalefs_append(struct scalefs_fs *fs, uint64_t ino, const void *buf, size_t len,
                   uint64_t *offset)
{
    if (!fs || !offset || (len && !buf))
        return SCALEFS_E_INVAL;
    return sfs_fs_append(fs->fs, ino, buf, len, offset);
}

int scalefs_fsync(struct scalefs_fs *fs, uint64_t ino)
{
    if (!fs)
        return SCALEFS_E_INVAL;
    return sfs_fs_fsync(fs->fs, ino);
}

int scalefs_fallocate(struct scalefs_fs *fs, uint64_t ino, unsigned flags, uint64_t offset,
                      uint64_t len)
{
    if (!fs)
        return SCALEFS_E_INVAL;
    return sfs_fs_fallocate(fs->fs, ino, flags, offset, len);
}

int scalefs_seek(struct scalefs_fs *fs, uint64_t ino, uint64_t offset, bool hole, uint64_t *found)
{
    if (!fs || !found)
        return SCALEFS_E_INVAL;
    return sfs_fs_seek(fs->fs, ino, offset, hole, found);
}

int scalefs_copy_range(struct scalefs_fs *fs, uint64_t from, uint64_t from_offset, uint64_t to,
                       uint64_t to_offset, uint64_t len, uint64_t *done)
{
    if (!fs || !done)
        return SCALEFS_E_INVAL;
    return sfs_fs_copy_range(fs->fs, from, from_offset, to, to_offset, len, done);
}

int scalefs_setxattr(struct scalefs_fs *fs, uint64_t ino, const char *name, const void *value,
                     size_t len, unsigned flags)
{
    if (!fs || !name || (len && !value))
        return SCALEFS_E_INVAL;
    return sfs_fs_setxattr(fs->fs, ino, name, value, len, flags);
}

int scalefs_getxattr(struct scalefs_fs *fs, uint64_t ino, const char *name, void *value,
                     size_t size, size_t *len)
{
    if (!fs || !name || !len || (size && !value))
        return SCALEFS_E_INVAL;
    return sfs_fs_getxattr(fs->fs, ino, name, value, size, len);
}

int scalefs_listxattr(struct scalefs_fs *fs, uint64_t ino, char *list, size_t size, size_t *len)
{
    if (!fs || !len || (size && !list))
        return SCALEFS_E_INVAL;
    return sfs_fs_listxattr(fs->fs, ino, list, size, len);
}

int scalefs_removexattr(struct scalefs_fs *fs, uint64_t ino, const char *name)
{
    if (!fs || !name)
        return SCALEFS_E_INVAL;
    return sfs_fs_removexattr(fs->fs, ino, name);
}

int scalefs_statfs(struct scalefs_fs *fs, struct scalefs_statfs *st)
{
    if (!fs || !st)
        return SCALEFS_E_INVAL;
    return sfs_fs_statfs(fs->fs, st);
}

int scalefs_path_of(struct scalefs_fs *fs, uint64_t ino, char *buf, size_t size)
{
    if (!fs || !buf)
        return SCALEFS_E_INVAL;
    return sfs_fs_path_of(fs->fs, ino, buf, size);
}
