/* What the tests of care share: a pool on simulated disks with something like files in it, of which a model outside of the
 * worlds knows what they must hold; the complete check as a judge. */
#ifndef TESTS_UNIT_CARE_FIXTURE_H
#define TESTS_UNIT_CARE_FIXTURE_H

#include "pool_fixture.h"
#include "store/care_internal.h"
#include "tree/tree.h"

enum { FILES = 48, TREE = SFS_TREE_VOLUME, FILE_MAX = 700000 };

struct content {
    uint32_t version[FILES]; /* 0: not there */
    uint32_t next;
    uint64_t problems, repairable; /* as the last check found them */
    char first[512];               /* the first of them */
    unsigned swallow;              /* for tests: anything */
};

static inline uint32_t file_size(uint32_t file, uint32_t version)
{
    uint64_t r = prng_mix(file * 31u + 7, version);
    return r % 3 ? 1 + (uint32_t)(r >> 8) % 20000 : 1 + (uint32_t)(r >> 8) % FILE_MAX;
}

static inline void file_bytes(uint32_t file, uint32_t version, uint8_t *buf, uint32_t len)
{
    struct prng p;
    prng_seed(&p, prng_mix(file * 7919u, version));
    for (uint32_t i = 0; i < len; i += 8) {
        uint64_t v = prng_next(&p);
        memcpy(buf + i, &v, len - i < 8 ? len - i : 8);
    }
}

static inline struct sfs_key item_key(uint32_t file, uint64_t offset)
{
    return (struct sfs_key){1000 + file, SFS_KEY_EXTENT, offset};
}

struct items {
    struct sfs_key keys[64];
    struct sfs_fileext_value values[64];
    unsigned count;
};
static inline bool gather_item(void *context, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct items *items = context;
    if (items->count == 64 || sfs_fileext_decode(value, len, &items->values[items->count]))
        abort();
    items->keys[items->count++] = key;
    return true;
}
static inline void items_of(struct world *w, struct sfs_store *s, uint32_t file, struct items *items)
{
    items->count = 0;
    MUST(w, sfs_tree_scan(s, TREE, item_key(file, 0), item_key(file, UINT64_MAX), gather_item, items));
}

/* The file becomes a new version; 0: it goes. One transaction. */
static inline void put_file(struct world *w, struct sfs_store *s, struct content *c, uint32_t file, uint32_t version)
{
    struct sfs_tx tx;
    struct items old;
    sfs_tx_init(&tx, s);
    items_of(w, s, file, &old);
    for (unsigned i = 0; i < old.count; i++) {
        sfs_tx_extent_ref(&tx, old.values[i].id, -1, -(int64_t)old.values[i].length);
        sfs_tx_delete(&tx, TREE, old.keys[i]);
    }
    struct sfs_batch *batch = NULL;
    if (version) {
        uint32_t size = file_size(file, version);
        uint8_t *data = sfs_alloc(w->env, size);
        file_bytes(file, version, data, size);
        MUST(w, sfs_batch_begin(s, 0, &batch));
        for (uint32_t at = 0, raw; at < size; at += raw)
            MUST(w, sfs_batch_add(batch, data + at, size - at, TREE, 1000 + file, at, &raw));
        sfs_free(w->env, data);
        size_t kept;
        const struct sfs_piece *pieces;
        MUST(w, sfs_batch_end(batch, true, &kept, &pieces));
        uint64_t offset = 0;
        for (size_t i = 0; i < kept; i++) {
            uint8_t value[SFS_FILEEXT_BYTES];
            struct sfs_fileext_value v = {pieces[i].id, 0, pieces[i].raw};
            sfs_fileext_encode(&v, value);
            sfs_tx_extent_add(&tx, &pieces[i], 1, pieces[i].raw);
            sfs_tx_put(&tx, TREE, item_key(file, offset), value, sizeof value);
            offset += pieces[i].raw;
        }
        NEED_EQ(w, offset, size);
    } else {
        tx.claim = SFS_CLAIM_FREES;
    }
    MUST(w, sfs_tx_commit(&tx));
    sfs_tx_deinit(&tx);
    sfs_batch_free(batch);
    c->version[file] = version;
}

/* `count` files get new versions, now and then one goes. */
static inline void write_some(struct world *w, struct sfs_store *s, struct content *c, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t file = (uint32_t)(prng_next(&w->prng) % FILES);
        put_file(w, s, c, file, prng_next(&w->prng) % 8 ? ++c->next : 0);
    }
}

/* False when the file is not what it must be; `broken` files are allowed when *lost is given, and counted. */
static inline void verify_file(struct world *w, struct sfs_store *s, const struct content *c, uint32_t file, unsigned *lost)
{
    struct items items;
    items_of(w, s, file, &items);
    if (!c->version[file]) {
        NEED_EQ(w, items.count, 0);
        return;
    }
    uint32_t size = file_size(file, c->version[file]);
    uint8_t *want = sfs_alloc(w->env, size), *got = sfs_alloc(w->env, size);
    file_bytes(file, c->version[file], want, size);
    uint64_t at = 0;
    int err = SCALEFS_OK;
    for (unsigned i = 0; i < items.count && !err; i++) {
        NEED(w, items.keys[i].b == at && at + items.values[i].length <= size);
        struct sfs_read r = {.id = items.values[i].id, .offset = items.values[i].offset, .len = items.values[i].length,
                             .buf = got + at};
        err = sfs_store_read(s, &r, 1);
        if (err && (!lost || err != SCALEFS_E_CORRUPT))
            sim_fail(w->sim, "file %u: %s", file, scalefs_error_name(err));
        at += items.values[i].length;
    }
    if (err) {
        ++*lost;
    } else {
        NEED_EQ(w, at, size);
        NEED(w, !memcmp(want, got, size));
    }
    sfs_free(w->env, want);
    sfs_free(w->env, got);
}

static inline void verify_all(struct world *w, struct sfs_store *s, const struct content *c)
{
    for (uint32_t i = 0; i < FILES; i++)
        verify_file(w, s, c, i, NULL);
}

/* --- stores --- */

static inline struct sfs_store *open_store(struct world *w, uint64_t which, bool background)
{
    struct sfs_pool_open how = {.probe = sfs_store_probe};
    struct sfs_pool *pool = must_open(w, &how, which);
    struct sfs_store_options o = {.cache_bytes = 1 << 20, .commit_seconds = background ? 1 : UINT32_MAX,
                                  .no_background = !background};
    struct sfs_store *s;
    struct scalefs_error_info info = {0, ""};
    MUST(w, sfs_store_open(w->env, pool, &o, &s, &info));
    if (!sfs_tree_exists(s, TREE))
        MUST(w, sfs_tree_volume_make(s, TREE, ""));
    return s;
}

static inline void sync_and_close(struct world *w, struct sfs_store *s)
{
    MUST(w, sfs_store_close(s, false));
}

/* All that care can do now. */
static inline void take_care(struct world *w, struct sfs_store *s)
{
    unsigned steps = 0;
    while (sfs_care_step(s))
        NEED(w, ++steps < 10000);
}

/* Its right copy, as care would find it. */
static inline int best_node(struct world *w, struct sfs_store *s, const struct sfs_row_image *im)
{
    int best;
    MUST(w, sfs_care_best_node(s, im, &best));
    return best;
}

/* Of what was noted. */
static inline uint64_t count_of_lost(struct world *w, struct sfs_store *s)
{
    uint64_t lost;
    MUST(w, sfs_care_count_lost(s->care, &lost));
    return lost;
}

/* --- the judge --- */

static inline void on_problem(void *context, const char *text)
{
    struct content *c = context;
    if (!c->first[0])
        snprintf(c->first, sizeof c->first, "%s", text);
    if (getenv("SHOW"))
        printf("# %s\n", text);
}

/* Opens the pool for reading only and checks all of it. */
static inline void judge(struct world *w, struct content *c, uint64_t which)
{
    struct sfs_pool_open how = {.probe = sfs_store_probe, .read_only = true, .degraded = true};
    struct sfs_pool *pool = must_open(w, &how, which);
    struct sfs_store_options o = {.cache_bytes = 1 << 20, .no_background = true};
    struct sfs_store *s;
    struct scalefs_error_info info = {0, ""};
    struct scalefs_check_report report;
    memset(&report, 0, sizeof report);
    MUST(w, sfs_store_open(w->env, pool, &o, &s, &info));
    c->first[0] = 0;
    MUST(w, sfs_care_check(s, on_problem, c, &report));
    c->problems = report.problems;
    c->repairable = report.repairable;
    MUST(w, sfs_store_close(s, false));
}

static inline void must_be_sound(struct world *w, struct content *c, uint64_t which)
{
    judge(w, c, which);
    if (c->problems)
        sim_fail(w->sim, "%llu problems: %s", (unsigned long long)c->problems, c->first);
}

#endif
