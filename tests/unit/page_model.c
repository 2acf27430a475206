/* The B+tree page against a sorted array that does the same, with values of all sizes; after every step
 * the page passes the check for pages that come from disk. */
#include "test.h"

#include "store/page.h"

#define ITEMS_MAX 800

struct item {
    struct sfs_key key;
    uint32_t len, seed;
};
struct model {
    uint8_t page[SFS_NODE_BYTES];
    struct item items[ITEMS_MAX];
    unsigned count;
};

static const uint8_t *value_of(uint32_t seed, uint32_t len)
{
    static uint8_t bytes[SFS_VALUE_MAX];
    for (uint32_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)((seed + i) * 2654435761u >> 24);
    return bytes;
}

static unsigned model_bytes(const struct model *m)
{
    unsigned bytes = 0;
    for (unsigned i = 0; i < m->count; i++)
        bytes += 21 + m->items[i].len;
    return bytes;
}

static unsigned model_find(const struct model *m, struct sfs_key key, bool *exact)
{
    unsigned i = 0;
    while (i < m->count && sfs_key_compare(m->items[i].key, key) < 0)
        i++;
    *exact = i < m->count && sfs_key_compare(m->items[i].key, key) == 0;
    return i;
}

/* The page is well-formed and holds just what the model holds. */
static bool same(struct model *m)
{
    struct sfs_node_header h = {sfs_page_level(m->page), 1, 2, 0, SFS_TREE_VOLUME, 4, 5}, d;
    sfs_node_seal(m->page, &h);
    if (!CHECK_OK(sfs_node_check(m->page, &d)) || !CHECK_EQ(sfs_page_count(m->page), m->count) ||
        !CHECK_EQ(sfs_page_free_bytes(m->page), SFS_NODE_BYTES - 64 - model_bytes(m)))
        return false;
    for (unsigned i = 0; i < m->count; i++) {
        uint32_t len;
        const uint8_t *v = sfs_page_value(m->page, i, &len);
        if (!CHECK(sfs_key_compare(sfs_page_key(m->page, i), m->items[i].key) == 0) ||
            !CHECK_EQ(len, m->items[i].len) ||
            !CHECK_MEM(v, value_of(m->items[i].seed, len), len))
            return false;
    }
    return true;
}

static struct sfs_key some_key(unsigned spread)
{
    return (struct sfs_key){test_below(spread), (uint8_t)test_below(3), test_below(4)};
}

static uint32_t some_len(unsigned kind)
{
    switch (kind) {
    case 0: return (uint32_t)test_below(9);
    case 1: return (uint32_t)test_below(300);
    case 2: return test_below(10) ? (uint32_t)test_below(60) : (uint32_t)test_below(SFS_VALUE_MAX + 1);
    default: return SFS_VALUE_MAX - (uint32_t)test_below(3);
    }
}

static bool model_insert(struct model *m, struct sfs_key key, uint32_t len, uint32_t seed)
{
    bool exact, page_exact;
    unsigned i = model_find(m, key, &exact);
    CHECK_EQ(sfs_page_search(m->page, key, &page_exact), i);
    CHECK_EQ(page_exact, exact);
    if (exact) {
        bool fits = model_bytes(m) - m->items[i].len + len <= SFS_NODE_BYTES - 64;
        CHECK_EQ(sfs_page_replace(m->page, i, value_of(seed, len), len), fits);
        if (fits)
            m->items[i] = (struct item){key, len, seed};
        return fits;
    }
    bool fits = model_bytes(m) + sfs_page_item_bytes(len) <= SFS_NODE_BYTES - 64;
    CHECK_EQ(sfs_page_insert(m->page, i, key, value_of(seed, len), len), fits);
    if (fits) {
        memmove(&m->items[i + 1], &m->items[i], (m->count - i) * sizeof m->items[0]);
        m->items[i] = (struct item){key, len, seed};
        m->count++;
    }
    return fits;
}

static void model_remove(struct model *m, unsigned i)
{
    sfs_page_remove(m->page, i);
    memmove(&m->items[i], &m->items[i + 1], (m->count - i - 1) * sizeof m->items[0]);
    m->count--;
}

static void behaves_as_a_sorted_array(void)
{
    static struct model m;
    unsigned full = 0;
    for (unsigned round = 0; round < 80; round++) {
        sfs_page_init(m.page, 0);
        m.count = 0;
        unsigned kind = round % 4, spread = 1 + (unsigned)test_below(400);
        for (unsigned step = 0; step < 1500; step++) {
            if (m.count && test_below(10) < (step / 300 % 2 ? 6u : 3u))
                model_remove(&m, (unsigned)test_below(m.count));
            else
                full += !model_insert(&m, some_key(spread), some_len(kind), (uint32_t)test_random());
            if (step % 16 == 0 && !same(&m))
                return;
        }
        if (!same(&m))
            return;
    }
    CHECK(full > 1000); /* pages that are full, with gaps, were among them */
}

static void a_refused_change_changes_nothing(void)
{
    static struct model m;
    uint8_t before[SFS_NODE_BYTES];
    sfs_page_init(m.page, 0);
    m.count = 0;
    while (model_insert(&m, some_key(100000), SFS_VALUE_MAX, 5)) {
    }
    CHECK_EQ(m.count, 3);
    memcpy(before, m.page, sizeof before);
    CHECK(!sfs_page_insert(m.page, 3, (struct sfs_key){~0ull, 0, 0}, value_of(1, SFS_VALUE_MAX),
                           SFS_VALUE_MAX));
    CHECK_MEM(before, m.page, sizeof before);
    CHECK(model_insert(&m, (struct sfs_key){~0ull, 0, 0}, sfs_page_free_bytes(m.page) - 21, 1));
    CHECK_EQ(sfs_page_free_bytes(m.page), 0);
    same(&m);
}

/* Splits `m` for an item at `key`, as a tree does, and puts it in. */
static void split(struct model *m, struct model *r, struct sfs_key key, uint32_t len)
{
    bool exact;
    uint32_t need = sfs_page_item_bytes(len);
    unsigned i = model_find(m, key, &exact), all = m->count;
    sfs_page_init(r->page, sfs_page_level(m->page));
    sfs_page_split(m->page, r->page, i, need);
    unsigned kept = sfs_page_count(m->page);
    CHECK_EQ(kept + sfs_page_count(r->page), all);
    r->count = all - kept;
    memcpy(r->items, m->items + kept, r->count * sizeof r->items[0]);
    m->count = kept;
    bool to_right = i > kept || (i == kept && sfs_page_free_bytes(m->page) < need);
    CHECK(i < all || (to_right && r->count == (sfs_page_level(m->page) ? 1 : 0)));
    CHECK(model_insert(to_right ? r : m, key, len, 77));
    CHECK(m->count > 0 && r->count > 0);
    CHECK(sfs_key_compare(m->items[m->count - 1].key, r->items[0].key) < 0);
}

static void splits_make_room_where_it_is_needed(void)
{
    static struct model m, r;
    for (unsigned round = 0; round < 3000; round++) {
        sfs_page_init(m.page, 0);
        m.count = 0;
        unsigned kind = round % 4;
        struct sfs_key key = {0, 0, 0};
        uint32_t len = 0;
        bool exact = false;
        for (bool fits = true; fits || exact;) {
            key = round % 5 ? some_key(5000) : (struct sfs_key){m.count, 9, round};
            len = test_below(8) ? some_len(kind) : SFS_VALUE_MAX;
            model_find(&m, key, &exact);
            fits = model_insert(&m, key, len, (uint32_t)test_random());
        }
        unsigned all = m.count, bytes = model_bytes(&m);
        split(&m, &r, key, len);
        if (round % 5 == 0)
            CHECK(m.count == all && r.count == 1); /* ascending keys: full pages stay behind */
        else if (m.count + r.count > all && r.count > 1) /* else: about halves */
            CHECK(model_bytes(&m) + SFS_VALUE_MAX + 64 > bytes / 2 &&
                  model_bytes(&r) + SFS_VALUE_MAX + 64 > bytes / 2);
        if (!same(&m) || !same(&r))
            return;
        bool fits = model_bytes(&m) + model_bytes(&r) <= SFS_NODE_BYTES - 64;
        CHECK_EQ(sfs_page_merge(m.page, r.page), fits);
        if (fits) {
            memcpy(m.items + m.count, r.items, r.count * sizeof r.items[0]);
            m.count += r.count;
        }
        if (!same(&m))
            return;
    }
}

static void merges_take_in_all_that_fits(void)
{
    static struct model m, r;
    unsigned merged = 0;
    for (unsigned round = 0; round < 2000; round++) {
        sfs_page_init(m.page, 0);
        sfs_page_init(r.page, 0);
        m.count = r.count = 0;
        for (uint64_t n = test_below(300); n > 0; n--) {
            struct sfs_key key = some_key(1000);
            struct model *to = key.a < 500 ? &m : &r;
            model_insert(to, key, some_len(round % 3), (uint32_t)n);
            if (to->count > 1 && test_below(3) == 0)
                model_remove(to, (unsigned)test_below(to->count));
        }
        bool fits = model_bytes(&m) + model_bytes(&r) <= SFS_NODE_BYTES - 64;
        CHECK_EQ(sfs_page_merge(m.page, r.page), fits);
        if (fits) {
            memcpy(m.items + m.count, r.items, r.count * sizeof r.items[0]);
            m.count += r.count;
            merged++;
        }
        if (!same(&m) || !same(&r))
            return;
    }
    CHECK(merged > 200 && merged < 2000);
}

/* In an inner page the first key counts as minus infinity: a smaller one may come behind it. */
static void the_first_key_of_an_inner_page_gives_way(void)
{
    static struct model m;
    bool exact;
    const uint8_t child[8] = {1};
    sfs_page_init(m.page, 1);
    CHECK(sfs_page_insert(m.page, 0, (struct sfs_key){100, 0, 0}, child, 8));
    CHECK(sfs_page_insert(m.page, 1, (struct sfs_key){200, 0, 0}, child, 8));
    CHECK(sfs_key_compare(sfs_page_key(m.page, 0), (struct sfs_key){100, 0, 0}) == 0);
    CHECK(sfs_page_insert(m.page, 1, (struct sfs_key){50, 0, 0}, child, 8));
    CHECK(sfs_key_compare(sfs_page_key(m.page, 0), (struct sfs_key){0, 0, 0}) == 0);
    CHECK_EQ(sfs_page_search(m.page, (struct sfs_key){60, 0, 0}, &exact), 2);
    CHECK_EQ(sfs_page_search(m.page, (struct sfs_key){50, 0, 0}, &exact), 1);
    CHECK(exact);
    sfs_page_set_key(m.page, 2, (struct sfs_key){150, 0, 0});
    CHECK(sfs_page_key(m.page, 2).a == 150);
    struct sfs_node_header h = {1, 1, 2, 0, SFS_TREE_VOLUME, 4, 5};
    sfs_node_seal(m.page, &h);
    CHECK_OK(sfs_node_check(m.page, &h));
}

static void values_can_be_edited_in_place(void)
{
    static struct model m;
    uint32_t len;
    sfs_page_init(m.page, 0);
    m.count = 0;
    for (unsigned i = 0; i < 50; i++)
        model_insert(&m, (struct sfs_key){i, 0, 0}, 40, i);
    memcpy(sfs_page_value_mut(m.page, 20, &len), value_of(99, 40), 40);
    CHECK_EQ(len, 40);
    m.items[20].seed = 99;
    same(&m);
    CHECK(sfs_key_compare((struct sfs_key){1, 2, 3}, (struct sfs_key){1, 2, 3}) == 0);
    CHECK(sfs_key_compare((struct sfs_key){1, 9, 9}, (struct sfs_key){2, 0, 0}) < 0);
    CHECK(sfs_key_compare((struct sfs_key){1, 2, 0}, (struct sfs_key){1, 1, ~0ull}) > 0);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(behaves_as_a_sorted_array);
    RUN(a_refused_change_changes_nothing);
    RUN(splits_make_room_where_it_is_needed);
    RUN(merges_take_in_all_that_fits);
    RUN(the_first_key_of_an_inner_page_gives_way);
    RUN(values_can_be_edited_in_place);
    return TEST_END();
}
