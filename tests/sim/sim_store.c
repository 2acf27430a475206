/* The store under power cuts: one client changes keys and extents in transactions, syncs now and then; another
 * reads; the power goes at any disk request. After each cut the pool must hold exactly the state after some whole number of
 * transactions, at least all that were acknowledged, and every extent's bytes.
 *
 * Usage: sim_store [SEEDS [FIRST]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/env.h"
#include "pool/pool.h"
#include "sim/world.h"
#include "store/store.h"
#include "tree/tree.h"

enum { SLOTS = 600, KEYS = 4000, LIVES = 5, TREE = SFS_TREE_VOLUME, DISKS_MAX = 5 };

struct change {
    uint64_t seq;
    uint32_t what;    /* < SLOTS: a slot; else a key */
    uint32_t version; /* 0: deleted */
};

struct model {
    struct change *log;
    size_t count, cap;
    uint64_t issued, acked;
    uint32_t next_version;
    unsigned disks, failover, zoned;
    uint32_t state[SLOTS + KEYS]; /* as of `issued` */
    uint64_t transactions, checkpoints, extents;
    bool formatted;
};

static uint32_t extent_len(uint32_t what, uint32_t version)
{
    uint64_t r = prng_mix(what, version);
    return r % 5 == 0 ? 1 + (uint32_t)(r >> 8) % 131072 : 1 + (uint32_t)(r >> 8) % 9000;
}

static void fill(uint32_t what, uint32_t version, uint8_t *buf, uint32_t len)
{
    struct prng p;
    prng_seed(&p, prng_mix(what * 7919u, version));
    for (uint32_t i = 0; i < len; i += 8) {
        uint64_t v = prng_next(&p);
        memcpy(buf + i, &v, len - i < 8 ? len - i : 8);
    }
}

static struct sfs_key key_of(uint32_t what)
{
    if (what < SLOTS)
        return (struct sfs_key){1000 + what, 0x30, 0};
    return (struct sfs_key){prng_mix(5, what), 0x10, what};
}

#define MUST(w, call)                                                                                          \
    do {                                                                                                       \
        int must_err = (call);                                                                                 \
        if (must_err)                                                                                          \
            sim_fail((w)->sim, "%s:%d: %s: %s", __FILE__, __LINE__, #call, scalefs_error_text(must_err));      \
    } while (0)

static void apply_log(struct model *m, uint64_t upto)
{
    memset(m->state, 0, sizeof m->state);
    size_t kept = 0;
    for (size_t i = 0; i < m->count && m->log[i].seq <= upto; i++, kept++)
        m->state[m->log[i].what] = m->log[i].version;
    m->count = kept;
    m->issued = upto;
}

static void note(struct model *m, uint64_t seq, uint32_t what, uint32_t version)
{
    if (m->count == m->cap) {
        m->cap = m->cap ? 2 * m->cap : 1024;
        m->log = realloc(m->log, m->cap * sizeof *m->log);
        if (!m->log)
            abort();
    }
    m->log[m->count++] = (struct change){seq, what, version};
    m->state[what] = version;
}

static struct sfs_store *open_store(struct world *w, struct model *m, bool first)
{
    struct sfs_disk *disks[DISKS_MAX];
    world_open_disks(w, disks);
    struct sfs_pool *pool;
    struct scalefs_error_info info = {0};
    struct sfs_pool_open how = {.probe = sfs_store_probe};
    int err = sfs_pool_open(w->env, disks, m->disks, &how, &pool, &info);
    if (err)
        sim_fail(w->sim, "the pool does not open: %s: %s", scalefs_error_text(err), info.text);
    struct sfs_store *s;
    struct sfs_store_options o = {.cache_bytes = 2 << 20, .commit_seconds = 1};
    MUST(w, sfs_store_open(w->env, pool, &o, &s, &info));
    if (first && !sfs_tree_exists(s, TREE))
        MUST(w, sfs_tree_volume_make(s, TREE, ""));
    return s;
}

static void verify_one(struct world *w, struct sfs_store *s, uint32_t what, uint32_t version)
{
    uint8_t value[512], expect[512];
    uint32_t len;
    int err = sfs_tree_get(s, TREE, key_of(what), value, sizeof value, &len);
    if (version == 0) {
        if (err != SCALEFS_E_NOENT)
            sim_fail(w->sim, "what %u should be gone: %d", what, err);
        return;
    }
    MUST(w, err);
    if (what >= SLOTS) {
        uint32_t want = 4 + (uint32_t)(prng_mix(what, version) % 400);
        fill(what, version, expect, want);
        if (len != want || memcmp(value, expect, len))
            sim_fail(w->sim, "key %u is not version %u", what, version);
        return;
    }
    if (len != 12 || sfs_get32(value + 8) != version)
        sim_fail(w->sim, "slot %u is version %u, not %u", what, sfs_get32(value + 8), version);
    uint32_t n = extent_len(what, version);
    uint8_t *a = sfs_alloc(w->env, n), *b = sfs_alloc(w->env, n);
    fill(what, version, b, n);
    for (uint32_t at = 0; at < n;) {
        struct sfs_extent e;
        uint64_t id = sfs_get64(value);
        MUST(w, sfs_tree_extent(s, id, &e));
        struct sfs_read r = {.id = id, .offset = 0, .len = e.raw, .buf = a};
        MUST(w, sfs_store_read(s, &r, 1));
        if (e.raw > n || memcmp(a, b, e.raw))
            sim_fail(w->sim, "slot %u version %u holds wrong bytes", what, version);
        at = n; /* only the first extent of a slot is kept */
    }
    sfs_free(w->env, a);
    sfs_free(w->env, b);
}

static void verify(struct world *w, void *arg)
{
    struct model *m = arg;
    struct sfs_store *s = open_store(w, m, false);
    uint8_t value[8];
    uint32_t len;
    uint64_t seq = 0;
    int err = sfs_tree_exists(s, TREE) ? sfs_tree_get(s, TREE, (struct sfs_key){1, 0x10, 0}, value, 8, &len)
                                       : SCALEFS_E_NOENT;
    if (err != SCALEFS_E_NOENT) {
        MUST(w, err);
        seq = sfs_get64(value);
    }
    if (seq < m->acked || seq > m->issued)
        sim_fail(w->sim, "state after %llu transactions, acknowledged %llu, issued %llu", (unsigned long long)seq,
                 (unsigned long long)m->acked, (unsigned long long)m->issued);
    apply_log(m, seq);
    m->acked = seq;
    for (uint32_t i = 0; i < SLOTS + KEYS && sfs_tree_exists(s, TREE); i++)
        verify_one(w, s, i, m->state[i]);
    MUST(w, sfs_store_close(s, false));
}

struct client {
    struct world *w;
    struct model *m;
    struct sfs_store *s;
    bool stop;
};

static void change_slot(struct client *c, struct sfs_tx *tx, uint64_t seq, uint32_t what, struct sfs_batch **batch)
{
    struct model *m = c->m;
    struct world *w = c->w;
    uint8_t value[12];
    uint32_t len;
    if (m->state[what]) {
        MUST(w, sfs_tree_get(c->s, TREE, key_of(what), value, sizeof value, &len));
        struct sfs_extent e;
        MUST(w, sfs_tree_extent(c->s, sfs_get64(value), &e));
        sfs_tx_extent_ref(tx, sfs_get64(value), -1, -(int64_t)e.raw);
    }
    if (m->state[what] && prng_next(&w->prng) % 3 == 0) {
        sfs_tx_delete(tx, TREE, key_of(what));
        note(m, seq, what, 0);
        return;
    }
    uint32_t version = ++m->next_version, n = extent_len(what, version), raw;
    uint8_t *data = sfs_alloc(w->env, n);
    fill(what, version, data, n);
    if (!*batch)
        MUST(w, sfs_batch_begin(c->s, 0, batch));
    MUST(w, sfs_batch_add(*batch, data, n, TREE, what, 0, &raw));
    sfs_free(w->env, data);
    note(m, seq, what, version);
}

static void one_transaction(struct client *c)
{
    struct model *m = c->m;
    struct world *w = c->w;
    struct sfs_tx tx;
    sfs_tx_init(&tx, c->s);
    uint64_t seq = m->issued + 1;
    struct sfs_batch *batch = NULL;
    uint32_t slots[8], n = 0;
    unsigned changes = 1 + (unsigned)(prng_next(&w->prng) % 6);
    for (unsigned i = 0; i < changes; i++) {
        uint32_t what = (uint32_t)(prng_next(&w->prng) % (prng_next(&w->prng) % 2 ? SLOTS : SLOTS + KEYS));
        bool again = false;
        for (uint32_t j = 0; j < n; j++)
            again |= slots[j] == what;
        if (again)
            continue;
        slots[n++] = what;
        if (what < SLOTS) {
            change_slot(c, &tx, seq, what, &batch);
            continue;
        }
        if (m->state[what] && prng_next(&w->prng) % 3 == 0) {
            sfs_tx_delete(&tx, TREE, key_of(what));
            note(m, seq, what, 0);
            continue;
        }
        uint8_t value[512];
        uint32_t version = ++m->next_version, len = 4 + (uint32_t)(prng_mix(what, version) % 400);
        fill(what, version, value, len);
        sfs_tx_put(&tx, TREE, key_of(what), value, len);
        note(m, seq, what, version);
    }
    if (batch) {
        size_t kept;
        const struct sfs_piece *pieces;
        MUST(w, sfs_batch_end(batch, true, &kept, &pieces));
        size_t next = 0;
        for (uint32_t j = 0; j < n; j++) {
            if (slots[j] >= SLOTS || !m->state[slots[j]])
                continue;
            uint8_t value[12];
            sfs_put64(value, pieces[next].id);
            sfs_put32(value + 8, m->state[slots[j]]);
            sfs_tx_extent_add(&tx, &pieces[next], 1, pieces[next].raw);
            sfs_tx_put(&tx, TREE, key_of(slots[j]), value, 12);
            next++;
            m->extents++;
        }
        if (next != kept)
            sim_fail(w->sim, "%zu extents kept of %zu", kept, next);
    }
    uint8_t number[8];
    sfs_put64(number, seq);
    sfs_tx_put(&tx, TREE, (struct sfs_key){1, 0x10, 0}, number, 8);
    m->issued = seq;
    MUST(w, sfs_tx_commit(&tx));
    sfs_tx_deinit(&tx);
    sfs_batch_free(batch);
    m->transactions++;
}

static void reader(void *arg)
{
    struct client *c = arg;
    struct prng p;
    prng_stream(&p, c->w->seed, 77 + c->w->life);
    while (!c->stop) {
        uint32_t what = (uint32_t)(prng_next(&p) % SLOTS), len;
        uint8_t value[12];
        sfs_task_sleep(c->w->env, 1000000);
        if (sfs_tree_get(c->s, TREE, key_of(what), value, sizeof value, &len) != SCALEFS_OK)
            continue;
        uint32_t version = sfs_get32(value + 8), n = extent_len(what, version);
        uint8_t *a = sfs_alloc(c->w->env, n), *b = sfs_alloc(c->w->env, n);
        struct sfs_extent e;
        uint64_t id = sfs_get64(value);
        if (sfs_tree_extent(c->s, id, &e) == SCALEFS_OK) {
            struct sfs_read r = {.id = id, .len = e.raw, .buf = a};
            int err = sfs_store_read(c->s, &r, 1);
            fill(what, version, b, n);
            if (err == SCALEFS_OK && memcmp(a, b, e.raw))
                sim_fail(c->w->sim, "a reader got wrong bytes of slot %u", what);
            if (err && err != SCALEFS_E_NOENT)
                sim_fail(c->w->sim, "a reader got %s", scalefs_error_text(err));
        }
        sfs_free(c->w->env, a);
        sfs_free(c->w->env, b);
    }
}

static void work(struct world *w, void *arg)
{
    struct model *m = arg;
    struct client c = {.w = w, .m = m, .s = open_store(w, m, true)};
    struct sfs_task *task;
    MUST(w, sfs_task_start(w->env, "reader", reader, &c, &task));
    unsigned count = 100 + (unsigned)(prng_next(&w->prng) % 300);
    for (unsigned i = 0; i < count; i++) {
        one_transaction(&c);
        if (prng_next(&w->prng) % 20 == 0) {
            uint64_t seq = m->issued;
            MUST(w, sfs_store_sync(c.s));
            m->acked = seq;
            m->checkpoints++;
        }
    }
    c.stop = true;
    sfs_task_join(w->env, task);
    MUST(w, sfs_store_close(c.s, false));
    m->acked = m->issued;
}

static void format(struct world *w, void *arg)
{
    struct model *m = arg;
    struct sfs_disk *disks[DISKS_MAX];
    world_open_disks(w, disks);
    struct sfs_pool_format how = {.name = "tank", .failover = (uint8_t)m->failover};
    struct sfs_uuid uuid;
    struct scalefs_error_info info = {0};
    MUST(w, sfs_pool_format(w->env, disks, m->disks, &how, &uuid, &info));
    world_close_disks(w, disks);
}

static bool run_seed(uint64_t seed, struct model *total)
{
    struct world w;
    world_init(&w, seed);
    struct model *m = calloc(1, sizeof *m);
    m->disks = 1 + (unsigned)(prng_next(&w.prng) % DISKS_MAX);
    m->failover = (unsigned)(prng_next(&w.prng) % (m->disks < 3 ? m->disks : 3));
    unsigned kind = (unsigned)prng_below(&w.prng, 3); /* no zoned disk, some, all */
    uint64_t capacity = prng_below(&w.prng, 2) ? 4u << 20 : (3u << 20) - 12288;
    for (unsigned i = 0; i < m->disks; i++) {
        struct sim_disk_options o = {.size_bytes = (64 + prng_next(&w.prng) % 3 * 32) << 20, .discard = true,
                                     .mean_latency_ns = 200000};
        if (kind)
            o.size_bytes = (200 + prng_below(&w.prng, 3) * 32) << 20;
        if (kind == 2 || (kind && prng_below(&w.prng, 2))) {
            o.zone_bytes = 4u << 20;
            o.zone_capacity = capacity;
            o.discard = false;
            m->zoned++;
        }
        sim_farm_add(w.farm, &o);
    }
    bool good = world_live(&w, &(struct world_life){.main = format, .arg = m}) == SIM_FINISHED;
    for (unsigned life = 0; life < LIVES && good; life++) {
        struct world_life l = {.main = work, .arg = m, .cut_at_io = 1 + prng_next(&w.prng) % 6000,
                               .kill = prng_next(&w.prng) % 4 == 0};
        enum sim_end end = world_live(&w, &l);
        good = end == SIM_FINISHED || end == SIM_CUT;
        if (good)
            good = world_live(&w, &(struct world_life){.main = verify, .arg = m}) == SIM_FINISHED;
    }
    for (unsigned i = 0; i < m->disks; i++)
        good = good && !sim_disk_stats(sim_farm_disk(w.farm, i))->refused;
    printf("%sok - seed %llu: %u disks (%u zoned), failover %u, %llu transactions, %llu extents, digest %016llx\n",
           good ? "" : "not ", (unsigned long long)seed, m->disks, m->zoned, m->failover, (unsigned long long)m->transactions,
           (unsigned long long)m->extents, (unsigned long long)w.digest);
    fflush(stdout);
    total->transactions += m->transactions;
    total->extents += m->extents;
    free(m->log);
    free(m);
    world_deinit(&w);
    return good;
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 0) : 5, first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    struct model *total = calloc(1, sizeof *total);
    unsigned failed = 0;
    for (uint64_t seed = first; seed < first + seeds; seed++)
        failed += !run_seed(seed, total);
    printf("# %llu seeds, %llu transactions, %llu extents, %u failed\n", (unsigned long long)seeds,
           (unsigned long long)total->transactions, (unsigned long long)total->extents, failed);
    free(total);
    return failed > 0;
}
