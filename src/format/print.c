/* Every on-disk object as text. Bytes that may come from anywhere (names, paths) are quoted: what is
 * not printable ASCII or UTF-8 of more than one byte appears as \xNN, so that no dump can drive a
 * terminal. Numbers that are ids, hashes or masks are hexadecimal, all others decimal. Pure.
 */
#include "format/print.h"

#include <inttypes.h>

static const char *name_of(const char *const *names, unsigned count, unsigned i)
{
    return i < count ? names[i] : "?";
}

const char *sfs_class_name(unsigned class)
{
    static const char *const names[] = {"system", "metadata", "landing", "data"};
    return name_of(names, 4, class);
}

const char *sfs_group_state_name(unsigned state)
{
    static const char *const names[] = {"open", "closed", "evacuating"};
    return name_of(names, 3, state);
}

const char *sfs_presence_name(unsigned presence)
{
    static const char *const names[] = {"online", "absent"};
    return name_of(names, 2, presence);
}

const char *sfs_wish_name(unsigned wish)
{
    static const char *const names[] = {"staying", "failed", "leaving", "joining"};
    return name_of(names, 4, wish);
}

const char *sfs_role_name(unsigned role)
{
    static const char *const names[] = {"data", "metadata"};
    return name_of(names, 2, role);
}

static const char *compression_name(unsigned compression)
{
    static const char *const names[] = {"none", "zstd"};
    return name_of(names, 2, compression);
}

static void put_quoted(struct sfs_text *t, const void *bytes, size_t len)
{
    const uint8_t *b = bytes;
    sfs_text_put(t, "\"");
    for (size_t i = 0; i < len; i++) {
        /* 0x80–0x9f can be control characters of their own, but not behind a lead byte. */
        bool plain = (b[i] >= 0x20 && b[i] < 0x7f && b[i] != '"' && b[i] != '\\') || b[i] >= 0xa0;
        bool tail = i > 0 && b[i] >= 0x80 && b[i] < 0xa0 && b[i - 1] >= 0x80 && b[i - 1] != 0xc2;
        if (plain || tail)
            sfs_text_put_bytes(t, b + i, 1);
        else
            sfs_text_printf(t, "\\x%02x", b[i]);
    }
    sfs_text_put(t, "\"");
}

static void put_name(struct sfs_text *t, const char *what, const void *bytes, size_t len)
{
    sfs_text_printf(t, " %s ", what);
    put_quoted(t, bytes, len);
}

static void put_uuid(struct sfs_text *t, const char *what, const struct sfs_uuid *uuid)
{
    char text[SFS_UUID_TEXT];
    sfs_uuid_format(uuid, text);
    sfs_text_printf(t, " %s %s", what, text);
}

static void put_masks(struct sfs_text *t, uint64_t refuse, uint64_t readonly, uint64_t ignore)
{
    sfs_text_printf(t, " refuse %#" PRIx64 " readonly %#" PRIx64 " ignore %#" PRIx64, refuse,
                    readonly, ignore);
}

static void put_time(struct sfs_text *t, const char *what, int64_t s, uint32_t ns)
{
    sfs_text_printf(t, " %s %" PRId64 ".%09" PRIu32, what, s, ns);
}

static void put_time_ns(struct sfs_text *t, const char *what, int64_t ns)
{
    int64_t s = ns / 1000000000, rest = ns % 1000000000;
    if (rest < 0) {
        s--;
        rest += 1000000000;
    }
    put_time(t, what, s, (uint32_t)rest);
}

void sfs_label_to_text(struct sfs_text *t, const struct sfs_label *l)
{
    sfs_text_put(t, "label");
    put_uuid(t, "pool", &l->pool);
    put_name(t, "name", l->name, strlen(l->name));
    put_uuid(t, "disk", &l->disk);
    sfs_text_printf(t, " number %" PRIu64 " index %u role %s %s", l->number, l->index, sfs_role_name(l->role),
                    l->layout ? "zoned" : "conventional");
    put_name(t, "station", l->station, strlen(l->station));
    sfs_text_printf(t,
                    " sector %" PRIu32 " size %" PRIu64 " data_offset %" PRIu64 " atoms %" PRIu32
                    " of %" PRIu32 " table_slots %" PRIu32,
                    l->sector_bytes, l->size, l->data_offset, l->atoms, l->atom_bytes, l->table_slots);
    put_time_ns(t, "joined", l->joined_ns);
    put_masks(t, l->refuse, l->readonly, l->ignore);
}

void sfs_nodeptr_to_text(struct sfs_text *t, const struct sfs_nodeptr *p)
{
    if (p->group == SFS_NONE32)
        sfs_text_put(t, "empty");
    else
        sfs_text_printf(t,
                        "node %" PRIx64 " level %u at %" PRIu32 ":%" PRIu64 " sum %016" PRIx64,
                        p->id, p->level, p->group, p->offset, p->checksum);
}

static void put_pageptr(struct sfs_text *t, uint32_t number, const struct sfs_pageptr *p)
{
    if (p->slot == SFS_NONE32)
        sfs_text_printf(t, "\n  page %" PRIu32 " none", number);
    else
        sfs_text_printf(t, "\n  page %" PRIu32 " slot %" PRIu32 " sum %016" PRIx64, number, p->slot,
                        p->checksum);
}

void sfs_commit_to_text(struct sfs_text *t, const struct sfs_commit *c)
{
    sfs_text_printf(t, "commit seq %" PRIu64 " txn %" PRIu64, c->seq, c->txn);
    put_uuid(t, "pool", &c->pool);
    put_time_ns(t, "time", c->time_ns);
    sfs_text_printf(t, " tenure %016" PRIx64 " host %016" PRIx64 "%s%s next_id %" PRIx64, c->tenure,
                    c->host, c->clean ? " clean" : "", c->exported ? " exported" : "", c->next_id);
    sfs_text_put(t, " extent map ");
    sfs_nodeptr_to_text(t, &c->extent_map);
    sfs_text_put(t, " space ");
    sfs_nodeptr_to_text(t, &c->space);
    sfs_text_printf(t, " pool tree %" PRIx64, c->pool_tree);
    put_masks(t, c->refuse, c->readonly, c->ignore);
    for (uint32_t i = 0; i < c->directory_count; i++)
        put_pageptr(t, i, &c->directory[i]);
}

void sfs_directory_to_text(struct sfs_text *t, const struct sfs_directory *d)
{
    sfs_text_printf(t, "directory first %" PRIu32 " count %" PRIu32, d->first_page, d->count);
    for (uint32_t i = 0; i < d->count; i++)
        put_pageptr(t, d->first_page + i, &d->pages[i]);
}

void sfs_config_to_text(struct sfs_text *t, const struct sfs_config_record *r)
{
    sfs_text_put(t, "config");
    put_name(t, "name", r->name, strlen(r->name));
    sfs_text_printf(t,
                    " failover %u quorum %u settle %u optimize %u verify %s compression %s level %d width_cap %u"
                    " record %" PRIu32 " next_disk %" PRIu32,
                    r->failover, r->quorum, r->settle, r->optimize, r->verify ? "parity" : "checksum",
                    compression_name(r->compression), r->zstd_level, r->width_cap, r->record_bytes,
                    r->next_disk);
    put_time_ns(t, "created", r->created_ns);
    sfs_text_printf(t, " repaired %" PRIu64 " lost %" PRIu64 " next_generation %" PRIu64 " rate %" PRIu64
                    " paused %u was failover %u optimize %u",
                    r->extents_repaired, r->extents_lost, r->next_generation, r->rate, r->paused, r->was_failover,
                    r->was_optimize);
}

void sfs_diskrec_to_text(struct sfs_text *t, const struct sfs_disk_record *r)
{
    sfs_text_printf(t, "disk %u", r->index);
    put_uuid(t, "uuid", &r->uuid);
    sfs_text_printf(t,
                    " %s %s role %s %s size %" PRIu64 " data_offset %" PRIu64 " atoms %" PRIu32
                    " of %" PRIu32 " table_slots %" PRIu32 " sector %" PRIu32 " flushed %" PRIu64
                    " last %016" PRIx64 ":%" PRIu64
                    " errors read %" PRIu64 " write %" PRIu64 " checksum %" PRIu64,
                    sfs_presence_name(r->presence), sfs_wish_name(r->wish), sfs_role_name(r->role),
                    r->layout ? "zoned" : "conventional", r->size, r->data_offset,
                    r->atoms, r->atom_bytes, r->table_slots, r->sector_bytes, r->flushed_txn,
                    r->last_tenure, r->last_txn, r->read_errors,
                    r->write_errors, r->checksum_errors);
    if (r->replaced_by != SFS_NONE16)
        sfs_text_printf(t, " replaced by %u", r->replaced_by);
    put_name(t, "station", r->station, strlen(r->station));
    put_name(t, "path", r->path, strlen(r->path));
    sfs_text_printf(t, " wanted %" PRIu64 " device %" PRIu64 "%s", r->wanted_size, r->device_size, r->paused ? " paused" : "");
}

void sfs_tenure_to_text(struct sfs_text *t, const struct sfs_tenure_record *r)
{
    sfs_text_printf(t, "tenure %016" PRIx64 " on %" PRIu64 " from txn %" PRIu64 " host %016" PRIx64, r->id,
                    r->base_txn, r->first_txn, r->host);
    put_time_ns(t, "time", r->time_ns);
}

void sfs_group_to_text(struct sfs_text *t, const struct sfs_group_record *r)
{
    sfs_text_printf(t,
                    "group %" PRIu32 " generation %" PRIu64
                    " %s %s %u+%u unit %u column %u rows %" PRIu32 " birth %" PRIu64 "%s columns",
                    r->group, r->generation, sfs_class_name(r->class),
                    sfs_group_state_name(r->state), r->k, r->m, 1u << r->unit_log2,
                    1u << r->column_log2, r->rows, r->birth, r->sequential ? " sequential" : "");
    for (unsigned c = 0; c < (unsigned)r->k + r->m; c++) {
        if (r->columns[c].disk == SFS_NONE16)
            sfs_text_put(t, " none");
        else
            sfs_text_printf(t, " %u:%" PRIu32, r->columns[c].disk, r->columns[c].atom);
    }
}

void sfs_count_to_text(struct sfs_text *t, const struct sfs_count_record *r)
{
    sfs_text_printf(t,
                    "count group %" PRIu32 " live %" PRIu64 " write_row %" PRIu32 " used %" PRIu32
                    " last txn %" PRIu64,
                    r->group, r->live, r->write_row, r->used_rows, r->last_txn);
}

void sfs_bitmap_to_text(struct sfs_text *t, const struct sfs_bitmap_record *r)
{
    uint32_t set = 0;
    for (uint32_t i = 0; i < 8u * r->bytes; i++)
        set += r->bits[i / 8] >> i % 8 & 1;
    sfs_text_printf(t, "bitmap group %" PRIu32 " rows %" PRIu32 "+%u live %" PRIu32 " bits ",
                    r->group, r->first_row, 8u * r->bytes, set);
    for (uint32_t i = 0; i < r->bytes; i++)
        sfs_text_printf(t, "%02x", r->bits[i]);
}

void sfs_task_to_text(struct sfs_text *t, const struct sfs_task_record *r)
{
    sfs_text_printf(t,
                    "task %" PRIu32 " %s %s at %" PRIu32 ":%" PRIu32 " done %" PRIu64
                    " of %" PRIu64 " repaired %" PRIu64 " lost %" PRIu64,
                    r->id, r->kind == 1 ? "scrub" : "?", r->state ? "paused" : "running", r->group,
                    r->row, r->bytes_done, r->bytes_total, r->repaired, r->lost);
    put_time_ns(t, "started", r->started_ns);
}

#define DECODE_AND_PRINT(name, type)                                                               \
    static int name##_record(struct sfs_text *t, const uint8_t *p, uint16_t len)                   \
    {                                                                                              \
        struct type r;                                                                             \
        int err = sfs_##name##_get(p, len, &r);                                                    \
        if (!err)                                                                                  \
            sfs_##name##_to_text(t, &r);                                                           \
        return err;                                                                                \
    }
DECODE_AND_PRINT(config, sfs_config_record)
DECODE_AND_PRINT(diskrec, sfs_disk_record)
DECODE_AND_PRINT(tenure, sfs_tenure_record)
DECODE_AND_PRINT(group, sfs_group_record)
DECODE_AND_PRINT(count, sfs_count_record)
DECODE_AND_PRINT(bitmap, sfs_bitmap_record)
DECODE_AND_PRINT(task, sfs_task_record)

void sfs_record_to_text(struct sfs_text *t, uint16_t type, const uint8_t *payload, uint16_t len)
{
    static int (*const print[])(struct sfs_text *, const uint8_t *, uint16_t) = {
        [SFS_RECORD_CONFIG] = config_record, [SFS_RECORD_DISK] = diskrec_record,
        [SFS_RECORD_TENURE] = tenure_record, [SFS_RECORD_GROUP] = group_record,
        [SFS_RECORD_COUNT] = count_record,   [SFS_RECORD_BITMAP] = bitmap_record,
        [SFS_RECORD_TASK] = task_record,
    };
    if (type < SFS_RECORD_CONFIG || type > SFS_RECORD_TASK)
        sfs_text_printf(t, "record of unknown type %u, %u bytes", type, len);
    else if (print[type](t, payload, len))
        sfs_text_printf(t, "record of type %u, %u bytes, damaged", type, len);
}

void sfs_column_to_text(struct sfs_text *t, const struct sfs_column_header *h)
{
    sfs_text_put(t, "column");
    put_uuid(t, "pool", &h->pool);
    sfs_text_printf(t,
                    " group %" PRIu32 " generation %" PRIu64 " %s column %u of %u+%u unit %" PRIu32
                    " rows %" PRIu32 " bytes %" PRIu64 " code %u disk %u",
                    h->group, h->generation, sfs_class_name(h->class), h->column, h->k, h->m,
                    h->unit_bytes, h->rows, h->column_bytes, h->code, h->disk_index);
    put_uuid(t, "uuid", &h->disk);
    sfs_text_printf(t, " txn %" PRIu64, h->txn);
}

void sfs_summary_to_text(struct sfs_text *t, const struct sfs_summary *s)
{
    sfs_text_printf(t, "summary of %s", s->kind ? "batch" : "row");
    put_uuid(t, "pool", &s->pool);
    sfs_text_printf(t,
                    " at %" PRIu32 ":%" PRIu64 " generation %" PRIu64 " txn %" PRIu64
                    " blocks %u entries %" PRIu32 " length %" PRIu32,
                    s->group, s->offset, s->generation, s->txn, s->blocks, s->entries, s->length);
    for (unsigned c = 0; c < s->unit_sums; c++)
        sfs_text_printf(t, "%s%016" PRIx64, c ? " " : " unit sums ", s->sums[c]);
}

void sfs_entry_to_text(struct sfs_text *t, const struct sfs_entry *e)
{
    sfs_text_printf(t,
                    "extent %" PRIx64 " birth %" PRIu64 " at +%" PRIu32 " stored %" PRIu32
                    " raw %" PRIu32 " %s sums %u hash %016" PRIx64 " for volume %" PRIu32
                    " inode %" PRIx64 " offset %" PRIu64,
                    e->id, e->birth, e->offset, e->stored, e->raw, compression_name(e->compression),
                    e->sums, e->sums_hash, e->volume, e->inode, e->file_offset);
}

void sfs_extent_to_text(struct sfs_text *t, const struct sfs_extent *e)
{
    sfs_text_printf(t,
                    "%s birth %" PRIu64 " at %" PRIu32 ":%" PRIu64 " stored %" PRIu32
                    " raw %" PRIu32 " %s refs %" PRIu32 " referenced %" PRIu64 " sums",
                    e->kind ? "node" : "data", e->birth, e->place.group, e->place.offset, e->stored,
                    e->raw, compression_name(e->compression), e->refs, e->ref_bytes);
    for (unsigned i = 0; i < e->sum_count; i++)
        sfs_text_printf(t, " %016" PRIx64, e->sums[i]);
}

void sfs_space_to_text(struct sfs_text *t, const struct sfs_row_state rows[SFS_SPACE_CHUNK])
{
    sfs_text_put(t, "rows");
    for (unsigned i = 0; i < SFS_SPACE_CHUNK; i++)
        if (rows[i].live || rows[i].txn)
            sfs_text_printf(t, " %u: live %" PRIu32 " txn %" PRIu64, i, rows[i].live, rows[i].txn);
}

void sfs_inode_to_text(struct sfs_text *t, const struct sfs_inode_value *v)
{
    sfs_text_printf(t,
                    "inode mode %06" PRIo32 " links %" PRIu32 " uid %" PRIu32 " gid %" PRIu32
                    " size %" PRIu64 " allocated %" PRIu64 " device %" PRIu64 ":%" PRIu64,
                    v->mode, v->links, v->uid, v->gid, v->size, v->allocated, v->rdev >> 32,
                    v->rdev & 0xffffffffu);
    put_time(t, "access", v->atime.s, v->atime.ns);
    put_time(t, "modification", v->mtime.s, v->mtime.ns);
    put_time(t, "change", v->ctime.s, v->ctime.ns);
    put_time(t, "birth", v->btime.s, v->btime.ns);
    sfs_text_printf(t,
                    " parent %" PRIx64 " flags %#" PRIx32 " attributes %#" PRIx32
                    " entries %" PRIu64,
                    v->parent, v->flags, v->attributes, v->entries);
}

void sfs_dirent_to_text(struct sfs_text *t, const struct sfs_dirent_value *v)
{
    sfs_text_printf(t, "entry inode %" PRIx64 " type %u", v->inode, v->type);
    put_name(t, "name", v->name, v->name_len);
}

void sfs_fileext_to_text(struct sfs_text *t, const struct sfs_fileext_value *v)
{
    sfs_text_printf(t, "extent %" PRIx64 " from %" PRIu32 " length %" PRIu32, v->id, v->offset,
                    v->length);
}

void sfs_xattr_to_text(struct sfs_text *t, const struct sfs_xattr_value *v)
{
    sfs_text_put(t, "xattr");
    put_name(t, "name", v->name, v->name_len);
    sfs_text_printf(t, " length %" PRIu32, v->value_len);
    if (v->kind)
        sfs_text_printf(t, " in extent %" PRIx64, v->extent);
    else
        put_name(t, "value", v->value, v->value_len);
}

void sfs_volume_to_text(struct sfs_text *t, const struct sfs_volume_value *v)
{
    sfs_text_printf(t, "volume root %" PRIx64 " flags %#" PRIx32, v->root, v->flags);
    put_time_ns(t, "created", v->created_ns);
    put_name(t, "name", v->name, v->name_len);
}

void sfs_node_to_text(struct sfs_text *t, const struct sfs_node_header *h)
{
    sfs_text_printf(t,
                    "node %" PRIx64 " birth %" PRIu64 " tree %" PRIu32 " level %u at %" PRIu32
                    ":%" PRIu64 " sum %016" PRIx64,
                    h->id, h->birth, h->tree, h->level, h->group, h->offset, h->checksum);
}
