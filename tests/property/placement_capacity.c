/* How much of random sets of 1 to 32 disks can be used, against what no layout could exceed.
 *
 * THE OPTIMUM. N groups of at most w columns, m of them parity, no two of one group on one disk: a disk of s bytes gives them at
 * most min(s, N) each byte of a column being one group, so they have at most min(wN, sum of min(s, N)) bytes, of which mN are parity.
 * The best N gives the optimum over all mixtures of widths up to w; with one width only, it is the largest N for which the sum
 * is wN. Both are found here by looking at the only places where they can be: N is one of the sizes, or where the sum crosses wN.
 *
 * Judged is what the allocator makes, group by group until nothing fits; and, on disks as they are bought, what the pool says that it
 * has room for: there the reserve and the summaries are in the 2 %, too.
 */
#include "unit/pool_fixture.h"

#include "pool/internal.h"

enum { SET_MAX = 32, LEAST_GIB = 16, MOST_GIB = 400, LARGER = 32 };

struct set {
    unsigned count, m, optimize, width;
    bool large; /* too many groups to make them all */
    double sizes[SET_MAX];
    double made, said, ideal, ideal_one_width; /* bytes of data */
};

static double sum_of(const struct set *s, double n)
{
    double sum = 0;
    for (unsigned i = 0; i < s->count; i++)
        sum += s->sizes[i] < n ? s->sizes[i] : n;
    return sum;
}

static double data_of(const struct set *s, double n)
{
    double sum = sum_of(s, n), wide = s->width * n;
    return (sum < wide ? sum : wide) - s->m * n;
}

/* The largest N with sum_of(N) >= wN: sum_of(N) / N falls. */
static double most_of_one_width(const struct set *s)
{
    double low = 0, high = 1e16;
    for (unsigned i = 0; i < 200; i++) {
        double middle = (low + high) / 2;
        if (sum_of(s, middle) >= s->width * middle)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void find_ideal(struct set *s)
{
    double n = most_of_one_width(s);
    s->ideal_one_width = s->ideal = (s->width - s->m) * n;
    for (unsigned i = 0; i < s->count; i++)
        if (data_of(s, s->sizes[i]) > s->ideal)
            s->ideal = data_of(s, s->sizes[i]);
}

/* What `optimize` means: between the widest and copies, geometrically (docs/DESIGN.md); 0, 100 and the middle suffice here. */
static unsigned width_of(const struct set *s)
{
    unsigned widest = s->count < SFS_WIDTH_CAP_DEFAULT ? s->count : SFS_WIDTH_CAP_DEFAULT, k = 1;
    if (s->optimize == 0)
        return widest;
    while (s->optimize == 50 && k * (k + 1) <= widest - s->m) /* the square root, rounded geometrically */
        k++;
    return k + s->m;
}

static void draw(struct set *s, uint64_t number)
{
    unsigned shape = (unsigned)test_below(4);
    *s = (struct set){.count = number < SET_MAX ? (unsigned)number + 1 : 1 + (unsigned)test_below(SET_MAX)};
    s->m = (unsigned)test_below(s->count < 4 ? s->count : 4);
    s->optimize = test_below(3) ? 0 : test_below(2) ? 50 : 100;
    s->width = width_of(s);
    uint64_t two = LEAST_GIB + test_below(MOST_GIB);
    for (unsigned i = 0; i < s->count; i++) {
        uint64_t gib = shape == 0   ? 100
                       : shape == 1 ? (uint64_t)LEAST_GIB << test_below(5)
                       : shape == 2 ? LEAST_GIB + test_below(MOST_GIB)
                                    : test_below(2) ? two : LEAST_GIB;
        s->sizes[i] = (double)(gib << 30);
    }
    find_ideal(s);
}

static void format(struct world *w, const struct set *s)
{
    struct sfs_disk *disks[SET_MAX];
    struct scalefs_error_info info = {0, ""};
    struct sfs_pool_format how = {.name = "tank", .failover = (uint8_t)s->m, .optimize = (uint8_t)s->optimize};
    world_open_disks(w, disks);
    MUST(w, sfs_pool_format(w->env, disks, s->count, &how, NULL, &info));
    world_close_disks(w, disks);
}

/* Groups of data until none fits, the reserve included, which is no matter of placement. */
static void make_groups(struct sfs_pool *pool, struct set *s)
{
    struct sfs_group *g;
    while (sfs_group_make(pool, SFS_CLASS_DATA, SFS_FOR_CLEANERS, &g) == SCALEFS_OK)
        s->made += (double)((uint64_t)g->record.k << g->record.column_log2);
}

static void use(struct world *w, void *arg)
{
    struct set *s = arg;
    struct sfs_disk *disks[SET_MAX];
    struct sfs_pool *pool;
    struct sfs_pool_open how = {.read_only = false};
    struct scalefs_error_info info = {0, ""};
    format(w, s);
    world_open_disks(w, disks);
    MUST(w, sfs_pool_open(w->env, disks, s->count, &how, &pool, &info));
    sfs_mutex_lock(&pool->lock);
    s->said = (double)sfs_groups_capacity(pool);
    if (!s->large)
        make_groups(pool, s);
    sfs_mutex_unlock(&pool->lock);
    sfs_pool_close(pool);
}

static bool run(struct set *s, uint64_t number)
{
    struct world w;
    world_init(&w, test_seed() * 1000 + number);
    for (unsigned i = 0; i < s->count; i++)
        sim_farm_add(w.farm, &(struct sim_disk_options){.size_bytes = (uint64_t)s->sizes[i]});
    bool well = live(&w, use, s);
    world_deinit(&w);
    CHECK(s->ideal >= s->ideal_one_width);
    return well;
}

static void print(const struct set *s)
{
    printf("# %u disks, m %u, width %u: made %.4f, said %.4f of the optimum:", s->count, s->m, s->width, s->made / s->ideal,
           s->said / s->ideal);
    for (unsigned i = 0; i < s->count; i++)
        printf(" %.0f", s->sizes[i] / (1 << 30));
    printf(" GiB\n");
}

static void groups_fill_disks_to_the_optimum(void)
{
    double worst = 1;
    for (uint64_t number = 0; number < 2 * SET_MAX; number++) {
        struct set s;
        draw(&s, number);
        if (!run(&s, number))
            return;
        double made = s.made / s.ideal;
        if (!CHECK(made <= 1) || !CHECK(made >= 0.98))
            print(&s);
        worst = made < worst ? made : worst;
    }
    printf("# the worst: %.4f of the optimum\n", worst);
}

static void pools_promise_the_optimum(void)
{
    double worst = 1;
    for (uint64_t number = 0; number < 2 * SET_MAX; number++) {
        struct set s;
        draw(&s, number);
        s.large = true;
        for (unsigned i = 0; i < s.count; i++)
            s.sizes[i] *= LARGER;
        find_ideal(&s);
        if (!run(&s, number))
            return;
        double said = s.said / s.ideal;
        if (!CHECK(said <= 1) || !CHECK(said >= 0.98))
            print(&s);
        worst = said < worst ? said : worst;
    }
    printf("# the worst: %.4f of the optimum\n", worst);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(groups_fill_disks_to_the_optimum);
    RUN(pools_promise_the_optimum);
    return TEST_END();
}
