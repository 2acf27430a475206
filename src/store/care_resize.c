/* Members become larger or smaller.
 *
 * LARGER: the device has grown. The member's record tells the new size, and from the commit on that has it more columns may stand
 * there; the labels follow. It comes by itself when a device is found larger than it was when it was last looked at (at
 * opening, and when it comes back), or by the verb.
 *
 * SMALLER: the record tells the size that is wanted. What is behind that end is not given out any more, the columns there move
 * (care_drain.c), and when no record that may be opened has anything there, the size follows; then the labels, one of them also at
 * the new end. Only now may the device be cut. A cut of power at any moment leaves one of these states.
 */
#include "store/care_internal.h"

static unsigned long long mib(uint64_t bytes)
{
    return (unsigned long long)(bytes >> 20);
}

/* --- labels, also those of which a copy was found damaged; what has grown by itself --- */

/* locked. 0: none */
static uint16_t stale(const struct sfs_pool *pool)
{
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct sfs_member *m = &pool->members[i];
        if (m->used && m->disk && (m->damaged_label || (m->stale_label && m->record.layout == SFS_LAYOUT_CONVENTIONAL)))
            return m->record.index;
    }
    return 0;
}

static int mend_labels(struct sfs_store *s, uint16_t index)
{
    struct sfs_head_report report;
    sfs_store_lock(s);
    struct sfs_member *m = sfs_member_of(s->pool, index);
    uint64_t size = m ? m->record.size : 0;
    bool damaged = m && m->damaged_label;
    sfs_store_unlock(s);
    int err = sfs_member_check_head(s->pool, index, true, &report);
    sfs_store_lock(s);
    m = sfs_member_of(s->pool, index);
    if (m && (err || m->record.size == size)) /* what cannot be written now is tried again at the next opening */
        m->stale_label = m->damaged_label = false;
    sfs_store_unlock(s);
    if (err || !damaged || !report.labels_bad)
        return err;
    sfs_member_checksum_error(s->pool, index);
    sfs_note_repair(s, report.labels_bad, 0);
    sfs_log(s->env, SFS_LOG_WARN, "care", SCALEFS_E_CORRUPT, "a copy of the label of disk %u was damaged, and is written again", index);
    return SCALEFS_OK;
}

/* All of what the device has is used. locked */
static int grow(struct sfs_pool *pool, struct sfs_member *m, uint64_t size, uint64_t device)
{
    int err = size == m->record.size ? SCALEFS_OK : sfs_member_set_size(pool, m, size);
    if (!err) {
        m->record.device_size = device;
        sfs_member_want(m, size);
    }
    return err;
}

/* The first member from slot *from on whose device does not seem to be as large as when it was last looked at; *from: behind it.
 * 0: none. locked */
static uint16_t next_changed(const struct sfs_pool *pool, unsigned *from)
{
    while (*from < pool->member_count) {
        const struct sfs_member *m = &pool->members[(*from)++];
        if (m->used && m->disk && !m->unnamed && m->record.layout != SFS_LAYOUT_ZONED &&
            m->disk->info.size_bytes != m->record.device_size)
            return m->record.index;
    }
    return 0;
}

/* The member's device was measured just now. False: it is as it was. locked */
static bool take_size(struct sfs_care *care, uint16_t index, uint64_t device)
{
    struct sfs_pool *pool = care->s->pool;
    struct sfs_member *m = sfs_member_of(pool, index);
    if (!m || !m->disk || m->disk->info.size_bytes != device || device == m->record.device_size)
        return false;
    uint64_t before = m->record.device_size;
    m->record.device_size = device;
    m->dirty = true;
    if (device < m->record.size)
        sfs_log(care->s->env, SFS_LOG_WARN, "care", SCALEFS_E_TOO_SMALL,
                "the device of disk %u has become smaller: %llu MiB, and %llu MiB are in use", index, mib(device), mib(m->record.size));
    else if (device > before && device > m->record.size && !sfs_member_shrinks(m) && !grow(pool, m, device, device))
        sfs_log(care->s->env, SFS_LOG_INFO, "care", SCALEFS_OK, "disk %u has grown: %llu MiB are used now", index, mib(device));
    return true;
}

/* What was heard of a device's size may be long ago: at opening, or by a verb that was refused, after which it was made smaller again.
 * So before any of it is used it is measured anew. unlocked */
static bool look_at_devices(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    unsigned from = 0;
    bool news = false;
    sfs_store_lock(s);
    for (uint16_t index; (index = next_changed(s->pool, &from)) != 0;) {
        uint64_t device = 0;
        sfs_store_unlock(s);
        int err = sfs_member_measure(s->pool, index, &device);
        sfs_store_lock(s);
        news = (!err && take_size(care, index, device)) || news;
    }
    sfs_store_unlock(s);
    return news;
}

bool sfs_care_sizes_step(struct sfs_care *care)
{
    struct sfs_store *s = care->s;
    if (look_at_devices(care))
        return sfs_checkpoint(s, false, false, true) == SCALEFS_OK;
    sfs_store_lock(s);
    uint16_t index = stale(s->pool);
    sfs_store_unlock(s);
    return index && mend_labels(s, index) == SCALEFS_OK;
}

/* --- smaller --- */

int sfs_care_shrunk(struct sfs_care *care, uint16_t index)
{
    struct sfs_store *s = care->s;
    sfs_store_lock(s);
    struct sfs_member *m = sfs_member_of(s->pool, index);
    bool clear = m && sfs_member_end_free(s->pool, m);
    sfs_store_unlock(s);
    int err = !m ? SCALEFS_E_CHANGED : clear ? SCALEFS_OK : sfs_ripen(s);
    sfs_store_lock(s);
    m = sfs_member_of(s->pool, index);
    if (!err && (!m || !m->disk || !sfs_member_shrinks(m)))
        err = SCALEFS_E_CHANGED;
    if (!err && !sfs_member_end_free(s->pool, m))
        err = SCALEFS_E_BUSY;
    if (!err)
        err = sfs_member_set_size(s->pool, m, m->record.wanted_size);
    sfs_store_unlock(s);
    /* Records that name the old size ask for a device of it: none of them is to be needed any more. */
    if (!err)
        err = sfs_ripen(s);
    if (!err)
        err = mend_labels(s, index);
    if (!err)
        sfs_log(s->env, SFS_LOG_INFO, "care", SCALEFS_OK, "disk %u uses less of its device now", index);
    return err;
}

/* --- the wish --- */

/* locked */
static int may_resize(struct sfs_store *s, const struct sfs_member *m, uint16_t index, uint64_t bytes, uint64_t device,
                      struct scalefs_error_info *info)
{
    if (!m)
        return sfs_refuse(info, SCALEFS_E_NOENT, "The pool has no disk %u.", index);
    if (!m->disk)
        return sfs_refuse(info, SCALEFS_E_GONE, "Disk %u is absent, so how large it is cannot be seen. Connect it first.", index);
    if (m->record.layout == SFS_LAYOUT_ZONED)
        return sfs_refuse(info, SCALEFS_E_NOTSUP, "Disk %u is a zoned disk; those are used whole.", index);
    if (sfs_care_drains(m))
        return sfs_refuse(info, SCALEFS_E_BUSY, "Disk %u is leaving, so its size is not changed. `scalefs cancel %s` keeps it.", index,
                          s->pool->config.name);
    if (bytes > device)
        return sfs_refuse(info, SCALEFS_E_TOO_SMALL,
                          "%s has %llu MiB, and %llu MiB of it would be used: it is %llu MiB too small. Make it larger first.",
                          m->disk->info.path, mib(device), mib(bytes), mib(bytes - device + (1u << 20) - 1));
    if (bytes < SFS_DISK_MIN_BYTES || !sfs_member_atoms_of(m, bytes))
        return sfs_refuse(info, SCALEFS_E_TOO_SMALL, "Disk %u cannot become as small: it needs %llu MiB at least.", index,
                          mib(m->record.data_offset > SFS_DISK_MIN_BYTES - (5u << 20) ? m->record.data_offset + (5u << 20)
                                                                                       : SFS_DISK_MIN_BYTES));
    return SCALEFS_OK;
}

int sfs_wish_resize(struct sfs_store *s, const struct sfs_change *c, struct scalefs_error_info *info)
{
    struct sfs_member *m = sfs_member_of(s->pool, c->index);
    uint64_t bytes = c->bytes ? c->bytes : c->device;
    bytes -= bytes % SFS_IO_ALIGN;
    int err = may_resize(s, m, c->index, bytes, c->device, info);
    if (err)
        return err;
    m->record.paused = 0;
    if (bytes < m->record.size) {
        sfs_member_want(m, bytes);
        err = sfs_wish_fits(s, "failover=", info);
    } else if (grow(s->pool, m, bytes, c->device)) {
        err = sfs_refuse(info, SCALEFS_E_NOMEM, "There is not enough memory.");
    }
    if (!err)
        m->record.device_size = c->device;
    return err;
}

int sfs_care_resize(struct sfs_store *s, uint16_t index, uint64_t bytes, struct scalefs_error_info *info)
{
    struct sfs_wish_all before;
    struct sfs_change c = {.verb = SFS_CHANGE_RESIZE, .index = index, .bytes = bytes};
    (void)sfs_member_measure(s->pool, index, &c.device);
    sfs_store_lock(s);
    sfs_wish_remember(s->pool, &before);
    int err = sfs_wish_make(s, &c, info);
    if (err)
        sfs_wish_take_back(s->pool, &before);
    const struct sfs_member *m = sfs_member_of(s->pool, index);
    bool grew = !err && m && !sfs_member_shrinks(m);
    if (err)
        sfs_store_unlock(s);
    else
        err = sfs_wish_record(s, &before, info);
    return err || !grew ? err : mend_labels(s, index);
}

int sfs_care_measure(struct sfs_store *s, uint16_t index, struct scalefs_error_info *info)
{
    uint64_t device = 0;
    sfs_store_lock(s);
    const struct sfs_member *m = sfs_member_of(s->pool, index);
    uint64_t known = m ? m->record.device_size : 0, used = m ? m->record.size : 0;
    bool shrinks = m && sfs_member_shrinks(m), zoned = m && m->record.layout == SFS_LAYOUT_ZONED;
    sfs_store_unlock(s);
    int err = sfs_member_measure(s->pool, index, &device);
    if (err || zoned || shrinks || device <= known || device <= used)
        return err ? sfs_refuse(info, err, "Disk %u: %s.", index, scalefs_error_text(err)) : SCALEFS_OK;
    return sfs_care_resize(s, index, 0, info);
}
