/* The placement function on random sets of disks: its rules one by one, and the capacity that comes of it
 * against the theoretical optimum. */
#include "test.h"

#include "pool/placement.h"

#define DISKS_MAX 32

struct set {
    struct sfs_placement_disk disks[SFS_DISKS_MAX];
    unsigned count;
    struct sfs_placement_wish wish;
};

/* `scale`: free columns up to so many; stations: number of stations (0: none). */
static struct set some_set(uint64_t scale, unsigned stations)
{
    struct set s = {0};
    s.count = 1 + (unsigned)test_below(DISKS_MAX);
    unsigned shape = (unsigned)test_below(4);
    for (unsigned i = 0; i < s.count; i++) {
        uint64_t free = shape == 0   ? scale
                        : shape == 1 ? scale >> test_below(6)
                        : shape == 2 ? 1 + test_below(scale)
                                     : (test_below(2) ? scale : scale / 3);
        s.disks[i] = (struct sfs_placement_disk){
            (uint16_t)(1000 + i), stations && test_below(5) ? (int16_t)(test_below(stations) * 7) : -1, 0,
            true, (uint32_t)free};
    }
    s.wish.class = SFS_CLASS_DATA;
    s.wish.failover = (unsigned)test_below(s.count < 5 ? s.count : 5);
    s.wish.optimize = test_below(2) ? 0 : (unsigned)test_below(101);
    s.wish.width_cap = test_below(2) ? 0 : 2 + (unsigned)test_below(20);
    return s;
}

static unsigned cap_of(const struct sfs_placement_wish *w)
{
    unsigned cap = w->width_cap ? w->width_cap : 16;
    return cap < w->failover + 1 ? w->failover + 1 : cap;
}

/* Takes one column of each chosen disk. False when a disk was not to be had, or twice. */
static bool take(struct set *s, const struct sfs_placement *p)
{
    bool seen[SFS_DISKS_MAX] = {false};
    for (unsigned i = 0; i < p->k + p->m; i++) {
        unsigned d = p->disks[i] - 1000u;
        if (!CHECK(d < s->count) || !CHECK(s->disks[d].usable) || !CHECK(s->disks[d].free_columns) ||
            !CHECK(!seen[d] || p->one_disk))
            return false;
        seen[d] = true;
        s->disks[d].free_columns--;
    }
    return true;
}

static unsigned most_in_a_station(const struct set *s, const struct sfs_placement *p)
{
    unsigned most = 0;
    for (unsigned i = 0; i < p->k + p->m; i++) {
        int station = s->disks[p->disks[i] - 1000].station;
        unsigned n = 0;
        for (unsigned j = 0; j < p->k + p->m; j++)
            n += s->disks[p->disks[j] - 1000].station == station;
        if (station >= 0 && n > most)
            most = n;
    }
    return most;
}

/* Columns that one group can have at most with at most `limit` in a station. */
static unsigned width_with(const struct set *s, unsigned limit)
{
    unsigned width = 0, taken[SFS_DISKS_MAX] = {0};
    for (unsigned i = 0; i < s->count; i++)
        if (s->disks[i].usable && s->disks[i].free_columns &&
            (s->disks[i].station < 0 || taken[s->disks[i].station]++ < limit))
            width++;
    return width;
}

static void every_group_keeps_the_rules(void)
{
    for (int round = 0; round < 3000; round++) {
        struct set s = some_set(1 + test_below(12), round % 3 ? (unsigned)test_below(6) : 0);
        unsigned usable = 0;
        for (unsigned i = 0; i < s.count; i++)
            usable += s.disks[i].usable = test_below(8) > 0;
        struct sfs_placement p;
        for (s.wish.rotation = 0;; s.wish.rotation++) {
            unsigned m = s.wish.failover < usable ? s.wish.failover : usable - 1;
            unsigned safe = m ? width_with(&s, m) : 0, any = width_with(&s, SFS_DISKS_MAX);
            int err = sfs_placement_choose(&s.wish, s.disks, s.count, &p);
            if (usable == 0) {
                CHECK_EQ(err, SCALEFS_E_TOO_FEW);
                break;
            }
            CHECK_EQ(err, any < m + 1 ? SCALEFS_E_NOSPC : SCALEFS_OK); /* R2 */
            if (err)
                break;
            CHECK_EQ(p.m, m);
            CHECK(p.k >= 1 && p.k + p.m <= cap_of(&s.wish) && !p.one_disk);
            if (safe >= m + 1) /* R5 */
                CHECK(most_in_a_station(&s, &p) <= m && p.station_safe);
            else
                CHECK_EQ(p.station_safe, most_in_a_station(&s, &p) <= m);
            if (s.wish.optimize == 100)
                CHECK_EQ(p.k, 1);
            unsigned wide = safe >= m + 1 ? safe : any; /* R3 */
            struct set full = s;
            for (unsigned i = 0; i < s.count; i++)
                full.disks[i].free_columns = 1;
            unsigned nominal = m && width_with(&full, m) >= m + 1 ? width_with(&full, m) : usable;
            if (s.wish.optimize == 0)
                CHECK_EQ(p.k + p.m, wide < cap_of(&s.wish) && wide < nominal ? wide
                                    : nominal < cap_of(&s.wish)              ? nominal
                                                                             : cap_of(&s.wish));
            if (!take(&s, &p))
                return;
        }
    }
}

static void copies_of_system_metadata_and_landing(void)
{
    for (int round = 0; round < 6000; round++) {
        struct set s = some_set(1 + test_below(4), (unsigned)test_below(5));
        unsigned with_room = 0, preferred = 0;
        s.wish.class = (enum sfs_class)(round % 3);
        bool landing = s.wish.class == SFS_CLASS_LANDING;
        for (unsigned i = 0; i < s.count; i++) {
            s.disks[i].role = test_below(4) == 0;
            s.disks[i].free_columns = (uint32_t)test_below(4);
            with_room += s.disks[i].free_columns > 0;
            preferred += s.disks[i].free_columns > 0 && s.disks[i].role == !landing;
        }
        unsigned m = s.wish.failover < s.count ? s.wish.failover : s.count - 1;
        unsigned want = landing ? m + 1 : s.wish.failover + 1 > 2 ? s.wish.failover + 1 : 2;
        struct sfs_placement p;
        unsigned limit = want > 2 ? want - 1 : 1;
        unsigned safe = width_with(&s, limit);
        struct set before = s;
        int err = sfs_placement_choose(&s.wish, s.disks, s.count, &p);
        if (with_room < m + 1 || with_room == 0) { /* R2: never less than what is owed */
            CHECK_EQ(err, SCALEFS_E_NOSPC);
            continue;
        }
        if (with_room == 1 && !landing) { /* R1 */
            unsigned i = 0;
            while (!s.disks[i].free_columns)
                i++;
            CHECK_EQ(err, s.disks[i].free_columns < 2 ? SCALEFS_E_NOSPC : SCALEFS_OK);
            if (err)
                continue;
            CHECK(p.one_disk && p.k == 1 && p.m == 1 && p.disks[0] == p.disks[1]);
            take(&s, &p);
            continue;
        }
        if (!CHECK_OK(err))
            return;
        CHECK(!p.one_disk && p.k == 1);
        CHECK_EQ(p.m + 1, want < with_room ? want : with_room); /* R4 */
        unsigned from_preferred = 0;
        for (unsigned i = 0; i <= p.m; i++)
            from_preferred += s.disks[p.disks[i] - 1000].role == !landing;
        if (width_with(&s, SFS_DISKS_MAX) == safe) /* stations do not interfere: R6 in full */
            CHECK_EQ(from_preferred, preferred < p.m + 1 ? preferred : p.m + 1);
        if (safe >= want && want > 1)
            CHECK(most_in_a_station(&before, &p) < want); /* R5: not all in one station */
        take(&s, &p);
    }
}

static void a_single_disk_holds_two_copies_of_metadata(void)
{
    struct sfs_placement_disk d = {5, -1, 0, true, 2};
    struct sfs_placement_wish w = {.class = SFS_CLASS_SYSTEM};
    struct sfs_placement p;
    REQUIRE_OK(sfs_placement_choose(&w, &d, 1, &p));
    CHECK(p.one_disk && p.k == 1 && p.m == 1 && p.disks[0] == 5 && p.disks[1] == 5);
    d.free_columns = 1;
    CHECK_EQ(sfs_placement_choose(&w, &d, 1, &p), SCALEFS_E_NOSPC);
    w.class = SFS_CLASS_DATA;
    REQUIRE_OK(sfs_placement_choose(&w, &d, 1, &p));
    CHECK(p.k == 1 && p.m == 0 && !p.one_disk);
    w.class = SFS_CLASS_LANDING;
    REQUIRE_OK(sfs_placement_choose(&w, &d, 1, &p));
    CHECK(p.k == 1 && p.m == 0 && !p.one_disk);
    d.role = 1; /* data has nowhere to go */
    w.class = SFS_CLASS_DATA;
    CHECK_EQ(sfs_placement_choose(&w, &d, 1, &p), SCALEFS_E_TOO_FEW);
    CHECK_EQ(sfs_placement_choose(&w, &d, 0, &p), SCALEFS_E_TOO_FEW);
    struct sfs_placement_room room;
    sfs_placement_capacity(&w, &d, 1, &room);
    CHECK(room.groups == 0 && room.data_columns == 0);
}

static void data_keeps_off_metadata_disks(void)
{
    struct set s = some_set(10, 0);
    s.count = 6;
    for (unsigned i = 0; i < 6; i++)
        s.disks[i] = (struct sfs_placement_disk){(uint16_t)(1000 + i), -1, i >= 4, true, 10};
    s.wish = (struct sfs_placement_wish){.class = SFS_CLASS_DATA, .failover = 1};
    struct sfs_placement p;
    REQUIRE_OK(sfs_placement_choose(&s.wish, s.disks, 6, &p));
    CHECK(p.k == 3 && p.m == 1);
    for (unsigned i = 0; i < 4; i++)
        CHECK(p.disks[i] < 1004);
    s.wish.class = SFS_CLASS_METADATA;
    REQUIRE_OK(sfs_placement_choose(&s.wish, s.disks, 6, &p));
    CHECK(p.m == 1 && p.disks[0] >= 1004 && p.disks[1] >= 1004);
}

static void roles_go_round(void)
{
    struct set s = some_set(1, 0);
    unsigned role[6][6] = {{0}};
    s.count = 6;
    for (unsigned i = 0; i < 6; i++)
        s.disks[i] = (struct sfs_placement_disk){(uint16_t)(1000 + i), -1, 0, true, 50};
    s.wish = (struct sfs_placement_wish){.class = SFS_CLASS_DATA, .failover = 2};
    for (s.wish.rotation = 0; s.wish.rotation < 60; s.wish.rotation++) {
        struct sfs_placement p;
        REQUIRE_OK(sfs_placement_choose(&s.wish, s.disks, 6, &p));
        CHECK(p.k == 4 && p.m == 2);
        for (unsigned c = 0; c < 6; c++)
            role[p.disks[c] - 1000][c]++;
    }
    for (unsigned d = 0; d < 6; d++)
        for (unsigned c = 0; c < 6; c++)
            CHECK_EQ(role[d][c], 10);
}

static void optimize_narrows_geometrically(void)
{
    CHECK_EQ(sfs_placement_data_columns(16, 0, 0), 16);
    CHECK_EQ(sfs_placement_data_columns(16, 0, 25), 8);
    CHECK_EQ(sfs_placement_data_columns(16, 0, 50), 4);
    CHECK_EQ(sfs_placement_data_columns(16, 0, 75), 2);
    CHECK_EQ(sfs_placement_data_columns(16, 0, 100), 1);
    CHECK_EQ(sfs_placement_data_columns(4, 1, 0), 3);
    CHECK_EQ(sfs_placement_data_columns(64, 1, 0), 63);
    CHECK_EQ(sfs_placement_data_columns(3, 2, 50), 1);
    for (unsigned width = 1; width <= 64; width++)
        for (unsigned m = 0; m < width && m < 32; m++)
            for (unsigned o = 0; o < 100; o++) {
                unsigned k = sfs_placement_data_columns(width, m, o);
                CHECK(k >= sfs_placement_data_columns(width, m, o + 1) && k <= width - m && k >= 1);
            }
}

/* max over N of min(w N, sum of min(free, N)) - m N: no way of placing at most w columns, m of them
 * parity, on different disks can hold more. By stations, f(N) takes the place of the sum. */
static double optimum(const struct set *s, unsigned width, unsigned m)
{
    double best = 0;
    uint64_t top = 0;
    for (unsigned i = 0; i < s->count; i++)
        top += s->disks[i].free_columns;
    /* Concave in N: look at the ends of its pieces, and between them by ternary search. */
    uint64_t low = 0, high = top;
    while (low <= high) {
        uint64_t third = (high - low) / 3, n[2] = {low + third, high - third};
        double value[2];
        for (int j = 0; j < 2; j++) {
            double sum = 0;
            for (unsigned i = 0; i < s->count; i++)
                sum += s->disks[i].free_columns < n[j] ? s->disks[i].free_columns : (double)n[j];
            double wide = (double)width * (double)n[j];
            value[j] = (sum < wide ? sum : wide) - (double)m * (double)n[j];
            if (value[j] > best)
                best = value[j];
        }
        if (value[0] < value[1])
            low = n[0] + 1;
        else if (n[1] == 0)
            break;
        else
            high = n[1] - 1;
    }
    return best;
}

static struct sfs_placement_room by_hand(struct set s)
{
    struct sfs_placement_room room = {0, 0, 0};
    struct sfs_placement p;
    while (!sfs_placement_choose(&s.wish, s.disks, s.count, &p) && take(&s, &p)) {
        room.groups++;
        room.columns += p.k + p.m;
        room.data_columns += p.k;
        s.wish.rotation++;
    }
    return room;
}

static void capacity_is_near_the_optimum(void)
{
    double worst = 1;
    for (int round = 0; round < 600; round++) {
        struct set s = some_set(20 + test_below(600), 0);
        unsigned m = s.wish.failover;
        unsigned width = s.count < cap_of(&s.wish) ? s.count : cap_of(&s.wish);
        width = m + sfs_placement_data_columns(width, m, s.wish.optimize);
        double best = optimum(&s, width, m);
        struct sfs_placement_room hand = by_hand(s), room;
        sfs_placement_capacity(&s.wish, s.disks, s.count, &room);
        CHECK((double)hand.data_columns <= best);
        /* 2 %, and the rounding of one group. */
        if (!CHECK((double)hand.data_columns >= 0.98 * best - width) ||
            !CHECK((double)room.data_columns >= 0.98 * best - 2 * width))
            printf("# %u disks, m %u, width %u: %.0f, got %.0f, said %.0f\n", s.count, m, width, best,
                   (double)hand.data_columns, (double)room.data_columns);
        CHECK(room.data_columns <= best);
        CHECK_EQ(room.columns, room.data_columns + room.groups * m);
        if (best > 500 && (double)hand.data_columns / best < worst)
            worst = (double)hand.data_columns / best;
    }
    printf("# worst of the large ones: %.4f of the optimum\n", worst);
}

/* Of disks of both roles those for data hold as much as they would alone, by hand and in the closed form, however many groups of nodes
 * are made in between; and these stand on metadata disks as long as enough of them have room. */
static void roles_share_the_disks(void)
{
    for (int round = 0; round < 300; round++) {
        struct set s = some_set(20 + test_below(round % 2 ? 600 : 20000), 0), data = {0};
        for (unsigned i = 0; i < s.count; i++) {
            s.disks[i].role = i > 4 && test_below(3) == 0;
            if (!s.disks[i].role)
                data.disks[data.count++] = s.disks[i];
        }
        if (s.wish.failover >= data.count)
            s.wish.failover = data.count - 1;
        data.wish = s.wish;
        unsigned m = s.wish.failover, copies = m + 1 > 2 ? m + 1 : 2;
        unsigned width = data.count < cap_of(&s.wish) ? data.count : cap_of(&s.wish);
        width = m + sfs_placement_data_columns(width, m, s.wish.optimize);
        double best = optimum(&data, width, m);
        struct sfs_placement_room room;
        sfs_placement_capacity(&s.wish, s.disks, s.count, &room);
        CHECK((double)room.data_columns <= best && (double)room.data_columns >= 0.98 * best - 2 * width);
        if (round % 2 == 0)
            continue;
        uint64_t columns = 0;
        struct sfs_placement p;
        struct sfs_placement_wish nodes = s.wish;
        nodes.class = SFS_CLASS_METADATA;
        while (!sfs_placement_choose(&s.wish, s.disks, s.count, &p) && take(&s, &p)) {
            columns += p.k;
            for (unsigned i = 0; i < p.k + p.m; i++)
                CHECK_EQ(s.disks[p.disks[i] - 1000].role, SFS_ROLE_DATA);
            unsigned there = 0, on = 0;
            for (unsigned i = 0; i < s.count; i++)
                there += s.disks[i].role == SFS_ROLE_METADATA && s.disks[i].free_columns;
            if (there < copies || sfs_placement_choose(&nodes, s.disks, s.count, &p))
                continue;
            for (unsigned i = 0; i < p.k + p.m; i++)
                on += s.disks[p.disks[i] - 1000].role == SFS_ROLE_METADATA;
            CHECK_EQ(on, copies);
            take(&s, &p);
        }
        CHECK((double)columns <= best && (double)columns >= 0.98 * best - width);
    }
}

/* With stations, the closed form says what choosing group by group comes to. */
static void capacity_is_what_groups_come_to(void)
{
    for (int round = 0; round < 200; round++) {
        struct set s = some_set(100 + test_below(600), 1 + (unsigned)test_below(6));
        struct sfs_placement_room hand = by_hand(s), room;
        sfs_placement_capacity(&s.wish, s.disks, s.count, &room);
        double h = (double)hand.data_columns, r = (double)room.data_columns;
        if (!CHECK(r >= 0.98 * h - 32) || !CHECK(r <= 1.02 * h + 32))
            printf("# %u disks, m %u: groups %.0f, said %.0f\n", s.count, s.wish.failover, h, r);
    }
}

static void huge_sets_are_counted(void)
{
    for (int round = 0; round < 300; round++) {
        struct set s = some_set(1ull << (12 + test_below(20)), 0), half;
        struct sfs_placement_room room, less;
        unsigned m = s.wish.failover;
        unsigned width = s.count < cap_of(&s.wish) ? s.count : cap_of(&s.wish);
        width = m + sfs_placement_data_columns(width, m, s.wish.optimize);
        double best = optimum(&s, width, m);
        sfs_placement_capacity(&s.wish, s.disks, s.count, &room);
        CHECK((double)room.data_columns <= best);
        CHECK((double)room.data_columns >= 0.98 * best - 2 * width);
        half = s;
        for (unsigned i = 0; i < s.count; i++)
            half.disks[i].free_columns /= 2;
        sfs_placement_capacity(&half.wish, half.disks, half.count, &less);
        CHECK(less.data_columns <= room.data_columns);
    }
    struct set s = {.count = SFS_DISKS_MAX};
    s.wish = (struct sfs_placement_wish){.class = SFS_CLASS_DATA, .failover = 3};
    for (unsigned i = 0; i < s.count; i++)
        s.disks[i] = (struct sfs_placement_disk){(uint16_t)i, (int16_t)(i / 12), 0, true, 100000 + i * 1000};
    struct sfs_placement_room room;
    sfs_placement_capacity(&s.wish, s.disks, s.count, &room);
    double all = 256 * 100000.0 + 1000.0 * 255 * 128;
    CHECK((double)room.data_columns > 0.98 * all * 13 / 16 && (double)room.data_columns <= all * 13 / 16);
}

/* A box of four small disks has as much room as the two other disks together. Only if each group takes
 * one column from it can all room be used without two copies in the box. */
static void a_station_is_filled_in_time(void)
{
    struct set s = {.count = 6};
    struct sfs_placement p;
    unsigned groups = 0;
    for (unsigned i = 0; i < 6; i++)
        s.disks[i] = (struct sfs_placement_disk){(uint16_t)(1000 + i), i < 4 ? 3 : -1, 0, true,
                                                 i < 4 ? 10 : 20};
    s.wish = (struct sfs_placement_wish){.class = SFS_CLASS_DATA, .failover = 1, .optimize = 100};
    while (!sfs_placement_choose(&s.wish, s.disks, 6, &p)) {
        CHECK(p.k == 1 && p.m == 1 && p.station_safe);
        if (!take(&s, &p))
            return;
        groups++;
    }
    CHECK_EQ(groups, 40);
}

/* Known cases, by hand. */
static void small_pools_come_out_as_expected(void)
{
    static const struct {
        unsigned m, free[6], data;
    } cases[] = {
        {1, {4, 4}, 4},          {1, {4, 8}, 4},        {1, {10, 10, 10}, 20}, {1, {3, 3, 6}, 6},
        {2, {5, 5, 5, 5}, 10},   {0, {7, 9}, 16},       {1, {4, 4, 1, 1}, 6},  {2, {9, 9, 9}, 9},
        {1, {8, 4, 4, 2, 2}, 12}, {3, {1, 1, 1, 1, 1, 1}, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct set s = {0};
        while (s.count < 6 && cases[i].free[s.count]) {
            s.disks[s.count] = (struct sfs_placement_disk){(uint16_t)(1000 + s.count), -1, 0, true,
                                                           cases[i].free[s.count]};
            s.count++;
        }
        s.wish = (struct sfs_placement_wish){.class = SFS_CLASS_DATA, .failover = cases[i].m};
        struct sfs_placement_room room;
        sfs_placement_capacity(&s.wish, s.disks, s.count, &room);
        if (!CHECK_EQ(room.data_columns, cases[i].data))
            printf("# case %zu\n", i);
    }
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(every_group_keeps_the_rules);
    RUN(copies_of_system_metadata_and_landing);
    RUN(a_single_disk_holds_two_copies_of_metadata);
    RUN(data_keeps_off_metadata_disks);
    RUN(roles_go_round);
    RUN(optimize_narrows_geometrically);
    RUN(capacity_is_near_the_optimum);
    RUN(roles_share_the_disks);
    RUN(capacity_is_what_groups_come_to);
    RUN(huge_sets_are_counted);
    RUN(a_station_is_filled_in_time);
    RUN(small_pools_come_out_as_expected);
    return TEST_END();
}
