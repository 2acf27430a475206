/* What a change of the configuration costs: the bytes that all disks read and write for it, against the least that it requires.
 *
 * THE LEAST is computed here from the groups as they are before the change, in live bytes alone (no summaries, no nodes' paths, no
 * table): what a column holds, for each column that has to stand elsewhere or is new; what lives in a group and what its new
 * layout adds to that, where the width has to change. A unit that is lost costs reading k others. On top of a share of that a change
 * may cost FIXED bytes, whatever the pool holds: labels, commit records, pages of the table.
 *
 * Bytes only: nothing here knows a time.
 */
#include "unit/care_fixture.h"

#include "store/move.h"

enum { FIXED = 1 << 20, AT_ONCE = 128 << 10, FIRST_BIG = 1000000, BIG_BYTES = 4 << 20, PIECE_BYTES = 128 << 10 };

struct cost {
    double read, written, reads; /* bytes, and requests */
};

struct shape {
    const char *name;
    unsigned disks, more; /* in the pool; of the same size beside it */
    uint64_t mib;         /* each */
    unsigned failover, optimize;
    void (*change)(struct world *w, struct sfs_store *s);
    struct cost (*least)(struct sfs_store *s);
    double most; /* times the least */
};

struct run {
    const struct shape *shape;
    unsigned percent;
    uint64_t bytes, seed; /* of files */
    struct cost least, moved;
    struct content content;
};

/* --- filling --- */

static uint64_t fill_number(uint64_t file, uint64_t at)
{
    return prng_mix(file + 77, at);
}

static void fill_bytes(uint64_t file, uint64_t from, uint8_t *buf, uint32_t len)
{
    for (uint32_t i = 0; i < len; i += 8) {
        uint64_t v = fill_number(file, from + i);
        memcpy(buf + i, &v, 8);
    }
}

static void put_big(struct world *w, struct sfs_store *s, uint64_t file)
{
    struct sfs_tx tx;
    struct sfs_batch *batch;
    uint8_t *data = sfs_alloc(w->env, BIG_BYTES);
    size_t kept;
    const struct sfs_piece *pieces;
    uint64_t offset = 0;
    fill_bytes(file, 0, data, BIG_BYTES);
    MUST(w, sfs_batch_begin(s, 0, &batch));
    for (uint32_t at = 0, raw; at < BIG_BYTES; at += raw)
        MUST(w, sfs_batch_add(batch, data + at, BIG_BYTES - at < PIECE_BYTES ? BIG_BYTES - at : PIECE_BYTES, TREE,
                              FIRST_BIG + file, at, &raw));
    MUST(w, sfs_batch_end(batch, true, &kept, &pieces));
    sfs_tx_init(&tx, s);
    for (size_t i = 0; i < kept; i++) {
        uint8_t value[SFS_FILEEXT_BYTES];
        struct sfs_fileext_value v = {pieces[i].id, 0, pieces[i].raw};
        sfs_fileext_encode(&v, value);
        sfs_tx_extent_add(&tx, &pieces[i], 1, pieces[i].raw);
        sfs_tx_put(&tx, TREE, (struct sfs_key){FIRST_BIG + file, SFS_KEY_EXTENT, offset}, value, sizeof value);
        offset += pieces[i].raw;
    }
    MUST(w, sfs_tx_commit(&tx));
    sfs_tx_deinit(&tx);
    sfs_batch_free(batch);
    sfs_free(w->env, data);
}

struct big {
    struct sfs_key keys[256];
    struct sfs_fileext_value values[256];
    unsigned count;
};

static bool gather_big(void *context, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct big *b = context;
    if (b->count == 256 || sfs_fileext_decode(value, len, &b->values[b->count]))
        abort();
    b->keys[b->count++] = key;
    return true;
}

static void verify_big(struct world *w, struct sfs_store *s, uint64_t file)
{
    struct big *b = sfs_zalloc(w->env, sizeof *b);
    uint8_t *got = sfs_alloc(w->env, BIG_BYTES), *want = sfs_alloc(w->env, BIG_BYTES);
    MUST(w, sfs_tree_scan(s, TREE, (struct sfs_key){FIRST_BIG + file, SFS_KEY_EXTENT, 0},
                          (struct sfs_key){FIRST_BIG + file, SFS_KEY_EXTENT, UINT64_MAX}, gather_big, b));
    uint64_t at = 0;
    for (unsigned i = 0; i < b->count; i++) {
        struct sfs_read r = {.id = b->values[i].id, .len = b->values[i].length, .buf = got + at};
        NEED(w, b->keys[i].b == at && at + r.len <= BIG_BYTES);
        MUST(w, sfs_store_read(s, &r, 1));
        at += r.len;
    }
    fill_bytes(file, 0, want, BIG_BYTES);
    NEED_EQ(w, at, BIG_BYTES);
    NEED(w, !memcmp(got, want, BIG_BYTES));
    sfs_free(w->env, got);
    sfs_free(w->env, want);
    sfs_free(w->env, b);
}

/* --- the least --- */

static double column_bytes(const struct sfs_group *g)
{
    return (double)g->count.live / g->record.k;
}

static const struct sfs_group *next_group(struct sfs_store *s, uint32_t *n)
{
    while (*n < s->pool->group_cap) {
        const struct sfs_group *g = s->pool->groups[(*n)++];
        if (g && g->count.live)
            return g;
    }
    return NULL;
}

/* Columns of disk 2, which is there or not. */
static struct cost its_columns(struct sfs_store *s, bool there)
{
    struct cost c = {0, 0, 0};
    const struct sfs_group *g;
    for (uint32_t n = 0; (g = next_group(s, &n)) != NULL;)
        if (sfs_care_has_column(&g->record, 2)) {
            c.written += column_bytes(g);
            c.read += column_bytes(g) * (there ? 1 : g->record.k);
        }
    return c;
}

static struct cost columns_copied(struct sfs_store *s)
{
    return its_columns(s, true);
}

static struct cost columns_rebuilt(struct sfs_store *s)
{
    return its_columns(s, false);
}

/* All data is written anew in groups of k + m; of nodes the columns of disk 2 move, when it leaves. */
static struct cost anew(struct sfs_store *s, unsigned k, unsigned m)
{
    struct cost c = {0, 0, 0};
    const struct sfs_group *g;
    for (uint32_t n = 0; (g = next_group(s, &n)) != NULL;)
        if (g->record.class == SFS_CLASS_DATA) {
            c.read += (double)g->count.live;
            c.written += (double)g->count.live * (k + m) / k;
        }
    return c;
}

static struct cost anew_3_1(struct sfs_store *s)
{
    return anew(s, 3, 1);
}

static struct cost anew_1_1(struct sfs_store *s)
{
    return anew(s, 1, 1);
}

static struct cost one_parity_more(struct sfs_store *s)
{
    struct cost c = {0, 0, 0};
    const struct sfs_group *g;
    for (uint32_t n = 0; (g = next_group(s, &n)) != NULL;) {
        c.read += (double)g->count.live;
        c.written += column_bytes(g);
    }
    return c;
}

static struct cost nothing(struct sfs_store *s)
{
    (void)s;
    return (struct cost){0, 0, 0};
}

/* Of each old disk what is more than the mean of all, the new one included. */
static struct cost spread(struct sfs_store *s)
{
    struct cost c = {0, 0, 0};
    const struct sfs_group *g;
    double all = 0;
    for (uint32_t n = 0; (g = next_group(s, &n)) != NULL;)
        all += column_bytes(g) * (g->record.k + g->record.m);
    c.read = c.written = all / (s->pool->member_count + 1);
    return c;
}

/* Disk 2 goes, and so does a parity column of each group: that of disk 2, or another, which makes room for what disk 2 has. */
static struct cost columns_less_parity(struct sfs_store *s)
{
    struct cost c = {0, 0, 0};
    const struct sfs_group *g;
    for (uint32_t n = 0; (g = next_group(s, &n)) != NULL;) {
        unsigned last = (unsigned)g->record.k + g->record.m - 1u;
        bool nodes = g->record.class != SFS_CLASS_DATA;
        if (sfs_care_has_column(&g->record, 2) && (nodes || g->record.columns[last].disk != 2)) {
            c.written += column_bytes(g);
            c.read += column_bytes(g);
        }
    }
    return c;
}

/* --- the changes --- */

static struct sfs_disk *new_disk(struct world *w, const struct sfs_store *s, unsigned i)
{
    struct sfs_disk *disk;
    MUST(w, sim_disk_open(sim_farm_disk(w->farm, s->pool->member_count + i), w->env, &disk));
    return disk;
}

static void replace(struct world *w, struct sfs_store *s)
{
    struct scalefs_error_info info = {0, ""};
    MUST(w, sfs_care_replace(s, 2, new_disk(w, s, 0), &info));
}

static void lose(struct world *w, struct sfs_store *s)
{
    struct scalefs_error_info info = {0, ""};
    MUST(w, sfs_care_offline(s, 2, &info));
    sim_disk_pull(sim_farm_disk(w->farm, 1));
}

static void replace_lost(struct world *w, struct sfs_store *s)
{
    lose(w, s);
    replace(w, s);
}

static void remove_with(struct world *w, struct sfs_store *s, int failover)
{
    struct scalefs_error_info info = {0, ""};
    int err = sfs_care_remove(s, 2, failover, &info);
    if (err)
        sim_fail(w->sim, "not removed: %s", info.text);
}

static void remove_disk(struct world *w, struct sfs_store *s)
{
    remove_with(w, s, -1);
}

static void remove_less(struct world *w, struct sfs_store *s)
{
    remove_with(w, s, (int)s->pool->config.failover - 1);
}

static void rebuild(struct world *w, struct sfs_store *s)
{
    lose(w, s);
    remove_disk(w, s);
}

static void configure(struct world *w, struct sfs_store *s, int failover, int optimize)
{
    struct scalefs_error_info info = {0, ""};
    int err = sfs_care_configure(s, failover, optimize, &info);
    if (err)
        sim_fail(w->sim, "not configured: %s", info.text);
}

static void more_failover(struct world *w, struct sfs_store *s)
{
    configure(w, s, s->pool->config.failover + 1, -1);
}

static void less_failover(struct world *w, struct sfs_store *s)
{
    configure(w, s, s->pool->config.failover - 1, -1);
}

static void to_space(struct world *w, struct sfs_store *s)
{
    configure(w, s, -1, 0);
}

static void to_performance(struct world *w, struct sfs_store *s)
{
    configure(w, s, -1, 100);
}

static void add(struct world *w, struct sfs_store *s)
{
    struct scalefs_error_info info = {0, ""};
    struct sfs_disk *disk = new_disk(w, s, 0);
    MUST(w, sfs_care_add(s, &disk, NULL, SFS_ROLE_DATA, 1, &info));
}

/* --- */

static const struct shape shapes[] = {
    {"replace, 3+1 on 4", 4, 1, 128, 1, 0, replace, columns_copied, 1.10},
    {"replace, 2+2 on 6", 6, 1, 128, 2, 50, replace, columns_copied, 1.10},
    {"replace a lost one, 3+1 on 4", 4, 1, 128, 1, 0, replace_lost, columns_rebuilt, 1.10},
    {"replace a lost one, 4+2 on 6", 6, 1, 128, 2, 0, replace_lost, columns_rebuilt, 1.10},
    {"remove, 2+1 on 6", 6, 0, 128, 1, 50, remove_disk, columns_copied, 1.10},
    {"remove, 1+1 on 5", 5, 0, 128, 1, 100, remove_disk, columns_copied, 1.10},
    {"remove, 4+1 on 5 to 3+1", 5, 0, 128, 1, 0, remove_disk, anew_3_1, 1.10},
    {"rebuild, 2+1 on 6", 6, 0, 128, 1, 50, rebuild, columns_rebuilt, 1.10},
    {"remove, 3+1 on 4 to 3+0", 4, 0, 128, 1, 0, remove_less, columns_less_parity, 1.10},
    {"failover up, 2+1 to 2+2 on 4", 4, 0, 128, 1, 50, more_failover, one_parity_more, 1.10},
    {"failover down, 2+2 to 2+1 on 4", 4, 0, 128, 2, 50, less_failover, nothing, 1.00},
    {"1+1 to 3+1 on 4", 4, 0, 128, 1, 100, to_space, anew_3_1, 1.10},
    {"3+1 to 1+1 on 4", 4, 0, 128, 1, 0, to_performance, anew_1_1, 1.20}, /* which is full then */
    {"add, 2+1 on 5 to 6", 5, 1, 128, 1, 50, add, spread, 1.15},
    {"add, 2+1 on 3 to 3+1 on 4", 3, 1, 128, 1, 0, add, anew_3_1, 1.15},
};

static struct cost moved(struct world *w)
{
    struct cost c = {0, 0, 0};
    for (unsigned i = 0; i < sim_farm_count(w->farm); i++) {
        const struct sim_disk_stats *d = sim_disk_stats(sim_farm_disk(w->farm, i));
        c.read += (double)d->bytes_read;
        c.written += (double)d->bytes_written;
        c.reads += (double)d->reads;
    }
    return c;
}

static void begin(struct world *w, const struct run *r)
{
    struct sfs_disk *handles[DISKS_MAX];
    struct scalefs_error_info info = {0, ""};
    struct sfs_pool_format how = {.name = "tank", .failover = (uint8_t)r->shape->failover,
                                  .optimize = (uint8_t)r->shape->optimize};
    world_open_disks(w, handles);
    MUST(w, sfs_pool_format(w->env, handles, r->shape->disks, &how, NULL, &info));
    world_close_disks(w, handles);
}

static void change(struct world *w, void *arg)
{
    struct run *r = arg;
    begin(w, r);
    struct sfs_store *s = open_store(w, (1ull << r->shape->disks) - 1, false);
    uint64_t capacity = sfs_groups_capacity(s->pool);
    for (r->bytes = 0; r->bytes < capacity * r->percent / 100; r->bytes += BIG_BYTES)
        put_big(w, s, r->bytes / BIG_BYTES);
    MUST(w, sfs_settle(s));
    take_care(w, s);
    MUST(w, sfs_store_sync(s));
    r->least = r->shape->least(s);
    struct cost before = moved(w), after;
    r->shape->change(w, s);
    take_care(w, s);
    MUST(w, sfs_store_sync(s));
    after = moved(w);
    r->moved = (struct cost){after.read - before.read, after.written - before.written, after.reads - before.reads};
    for (uint64_t at = 0; at < r->bytes; at += BIG_BYTES)
        verify_big(w, s, at / BIG_BYTES);
    NEED_EQ(w, s->pool->config.settle, 0);
    sync_and_close(w, s);
}

static void sound(struct world *w, void *arg)
{
    struct run *r = arg;
    must_be_sound(w, &r->content, ALL_DISKS);
}

static bool is_near(const char *what, double moved, double least, const struct run *r)
{
    if (moved <= r->shape->most * least + FIXED)
        return true;
    printf("# too much is %s: %.2f MiB, the least is %.2f\n", what, moved / MIB, least / MIB);
    return false;
}

/* Rows that follow each other are read together. */
static bool is_at_once(const struct run *r)
{
    double each = r->moved.read / r->moved.reads;
    printf("# each read has %.0f KiB\n", each / 1024);
    return each >= AT_ONCE;
}

static double ratio(double moved, double least)
{
    return least > 0 ? moved / least : 0;
}

static void one(const struct shape *shape, unsigned percent)
{
    struct run r = {.shape = shape, .percent = percent};
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, shape->disks + shape->more, shape->mib * MIB);
    bool well = CHECK_EQ(world_live(&w, &(struct world_life){.main = change, .arg = &r, .max_steps = UINT64_MAX / 2}),
                         SIM_FINISHED) && live(&w, sound, &r);
    world_deinit(&w);
    double live = (double)r.bytes;
    double read = ratio(r.moved.read, r.least.read), written = ratio(r.moved.written, r.least.written);
    printf("# %-34s %2u %%: %4.0f MiB; read %.2f of it, least %.2f: %.3f; written %.2f, least %.2f: %.3f\n", shape->name, percent,
           live / MIB, r.moved.read / live, r.least.read / live, read, r.moved.written / live, r.least.written / live, written);
    if (well) {
        CHECK(is_near("read", r.moved.read, r.least.read, &r));
        CHECK(is_near("written", r.moved.written, r.least.written, &r));
        if (shape->least == columns_rebuilt && percent == 60)
            CHECK(is_at_once(&r));
    }
}

static void changes_cost_what_they_must(void)
{
    const char *only = getenv("SHAPE");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (unsigned full = 0; full < 2; full++)
            if (!only || strstr(shapes[i].name, only))
                one(&shapes[i], full ? 60 : 10);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(changes_cost_what_they_must);
    return TEST_END();
}
