/* The 4 KiB blocks: geometry, label, commit record, directory page, table page, column header.
 * Round trips, places of fields as docs/FORMAT.md gives them, every single flipped bit, wrong
 * identities, and damage behind a right checksum. */
#include "test.h"

#include "format/block.h"
#include "format/print.h"

static struct sfs_uuid some_uuid(void)
{
    struct sfs_uuid u;
    test_fill(u.bytes, sizeof u.bytes);
    return u;
}

static void some_name(char name[SFS_NAME_MAX + 1])
{
    size_t len = test_below(SFS_NAME_MAX + 1);
    memset(name, 0, SFS_NAME_MAX + 1);
    for (size_t i = 0; i < len; i++)
        name[i] = (char)(1 + test_below(255));
}

static struct sfs_label some_label(void)
{
    struct sfs_geometry g = {0};
    struct sfs_label l = {0};
    l.size = SFS_DISK_MIN_BYTES + test_below(1ull << (25 + test_below(30)));
    sfs_geometry_of(l.size, &g);
    l.pool = some_uuid();
    l.disk = some_uuid();
    l.refuse = test_random();
    l.readonly = test_random();
    l.ignore = test_random();
    l.index = (uint16_t)test_below(SFS_NONE16);
    l.role = (uint8_t)test_random();
    l.number = test_random();
    l.sector_bytes = test_below(2) ? 512 : 4096;
    l.data_offset = g.data_offset;
    l.atoms = g.atoms;
    l.atom_bytes = SFS_ATOM_BYTES;
    if (test_below(2)) {
        l.layout = SFS_LAYOUT_ZONED;
        l.atom_bytes <<= test_below(9);
        l.data_offset = (l.data_offset / l.atom_bytes + 1) * l.atom_bytes;
        l.atoms = l.data_offset > l.size ? 0 : (uint32_t)((l.size - l.data_offset) / l.atom_bytes);
        l.size = l.data_offset > l.size ? l.data_offset : l.size;
    }
    l.table_slots = g.table_slots;
    l.joined_ns = (int64_t)test_random();
    some_name(l.name);
    some_name(l.station);
    return l;
}

static struct sfs_nodeptr some_nodeptr(void)
{
    return (struct sfs_nodeptr){(uint32_t)test_random(), (uint8_t)test_below(16),
                                test_random() << 14, test_random(), test_random()};
}

static struct sfs_commit some_commit(void)
{
    struct sfs_commit c = {0};
    c.pool = some_uuid();
    c.refuse = test_random();
    c.readonly = test_random();
    c.ignore = test_random();
    c.txn = test_random();
    c.seq = test_random();
    c.time_ns = (int64_t)test_random();
    c.tenure = test_random();
    c.host = test_random();
    c.clean = test_below(2);
    c.exported = test_below(2);
    c.next_id = test_random();
    c.extent_map = some_nodeptr();
    c.space = some_nodeptr();
    c.pool_tree = test_random();
    c.directory_count = (uint16_t)test_below(SFS_DIR_PAGES_MAX + 1);
    for (unsigned i = 0; i < c.directory_count; i++)
        c.directory[i] = (struct sfs_pageptr){(uint32_t)test_random(), test_random()};
    return c;
}

static struct sfs_directory some_directory(void)
{
    struct sfs_directory d = {0};
    d.first_page = (uint32_t)test_below(SFS_DIR_PAGES_MAX) * SFS_DIR_FANOUT;
    d.count = (uint32_t)test_below(SFS_DIR_FANOUT + 1);
    for (unsigned i = 0; i < d.count; i++)
        d.pages[i] = (struct sfs_pageptr){(uint32_t)test_random(), test_random()};
    return d;
}

static struct sfs_column_header some_column(void)
{
    struct sfs_column_header h = {0};
    h.pool = some_uuid();
    h.disk = some_uuid();
    h.group = (uint32_t)test_below(SFS_NONE32);
    h.class = test_below(SFS_CLASSES);
    h.k = h.class == SFS_CLASS_DATA ? 1 + test_below(63) : 1;
    h.m = test_below(h.k + 31 > 64 ? 65 - h.k : 32);
    h.column = test_below(h.k + h.m);
    h.unit_bytes = h.class == SFS_CLASS_DATA ? 32u << (10 + test_below(4))
                   : h.class == SFS_CLASS_LANDING ? 4096 : 16384;
    h.column_bytes = 4ull << (20 + test_below(9));
    h.rows = (uint32_t)((h.column_bytes - 4096) / h.unit_bytes);
    h.generation = test_random();
    h.txn = test_random();
    h.code = 1;
    h.disk_index = (uint16_t)test_below(SFS_NONE16);
    return h;
}

/* One decoder for all kinds, with the identity that the block was written for. */
enum kind { LABEL, COMMIT, DIRECTORY, TABLE, COLUMN, KINDS };
struct identity {
    uint64_t self;
    struct sfs_uuid pool;
    uint64_t checksum; /* of the pages */
    uint32_t page;
};
static uint8_t records[SFS_TABLE_ROOM];

static void make(enum kind kind, uint8_t block[SFS_BLOCK], struct identity *id)
{
    id->self = test_random() >> 32;
    id->pool = some_uuid();
    if (kind == LABEL) {
        struct sfs_label l = some_label();
        sfs_label_encode(&l, id->self, block);
    } else if (kind == COMMIT) {
        struct sfs_commit c = some_commit();
        id->self = c.seq % SFS_RING_SLOTS;
        sfs_commit_encode(&c, block);
    } else if (kind == DIRECTORY) {
        struct sfs_directory d = some_directory();
        sfs_directory_encode(&d, &id->pool, (uint32_t)id->self, block, &id->checksum);
    } else if (kind == TABLE) {
        id->page = (uint32_t)test_random();
        test_fill(records, sizeof records);
        sfs_table_encode(records, (uint32_t)test_below(SFS_TABLE_ROOM + 1), id->page, &id->pool,
                         (uint32_t)id->self, block, &id->checksum);
    } else {
        struct sfs_column_header h = some_column();
        sfs_column_encode(&h, id->self, block);
    }
}

/* Decodes; when accepted, encodes again into `again` (which asserts all bounds) and prints. */
static int take(enum kind kind, const uint8_t block[SFS_BLOCK], const struct identity *id,
                uint8_t again[SFS_BLOCK], struct sfs_text *t)
{
    static struct sfs_label l;
    static struct sfs_commit c;
    static struct sfs_directory d;
    static struct sfs_column_header h;
    uint64_t sum;
    int err = SCALEFS_OK;
    if (kind == LABEL) {
        err = sfs_label_decode(block, id->self, &l);
        if (!err) {
            sfs_label_encode(&l, id->self, again);
            sfs_label_to_text(t, &l);
        }
    } else if (kind == COMMIT) {
        err = sfs_commit_decode(block, (uint32_t)id->self, &c);
        if (!err) {
            sfs_commit_encode(&c, again);
            sfs_commit_to_text(t, &c);
        }
    } else if (kind == DIRECTORY) {
        err = sfs_directory_decode(block, &id->pool, (uint32_t)id->self, id->checksum, &d);
        if (!err) {
            sfs_directory_encode(&d, &id->pool, (uint32_t)id->self, again, &sum);
            sfs_directory_to_text(t, &d);
        }
    } else if (kind == TABLE) {
        const uint8_t *at;
        uint32_t bytes;
        err = sfs_table_decode(block, &id->pool, (uint32_t)id->self, id->checksum, id->page, &at,
                               &bytes);
        if (!err)
            sfs_table_encode(at, bytes, id->page, &id->pool, (uint32_t)id->self, again, &sum);
    } else {
        err = sfs_column_decode(block, id->self, &h);
        if (!err) {
            sfs_column_encode(&h, id->self, again);
            sfs_column_to_text(t, &h);
        }
    }
    return err;
}

static void come_back_as_they_went(void)
{
    uint8_t block[SFS_BLOCK], again[SFS_BLOCK];
    struct sfs_text t;
    sfs_text_init(&t, NULL);
    for (int i = 0; i < 1000; i++) {
        struct identity id = {0};
        enum kind kind = i % KINDS;
        make(kind, block, &id);
        memset(again, 0xee, sizeof again);
        sfs_text_clear(&t);
        if (!CHECK_OK(take(kind, block, &id, again, &t)) || !CHECK_MEM(block, again, SFS_BLOCK))
            printf("# kind %d\n", kind);
        CHECK(kind == TABLE || t.len > (kind == DIRECTORY ? 20 : 40)); /* a directory may name no page */
    }
    sfs_text_deinit(&t);
}

static void a_flipped_bit_is_seen(void)
{
    static uint8_t block[SFS_BLOCK], again[SFS_BLOCK];
    struct sfs_text t;
    sfs_text_init(&t, NULL);
    for (enum kind kind = 0; kind < KINDS; kind++) {
        struct identity id = {0};
        make(kind, block, &id);
        unsigned missed = 0;
        for (unsigned bit = 0; bit < SFS_BLOCK * 8; bit++) {
            block[bit / 8] ^= 1 << bit % 8;
            missed += take(kind, block, &id, again, &t) != SCALEFS_E_CORRUPT;
            block[bit / 8] ^= 1 << bit % 8;
        }
        if (!CHECK_EQ(missed, 0))
            printf("# kind %d\n", kind);
    }
    sfs_text_deinit(&t);
}

static void another_identity_is_refused(void)
{
    uint8_t block[SFS_BLOCK], again[SFS_BLOCK];
    struct sfs_text t;
    sfs_text_init(&t, NULL);
    for (int i = 0; i < 500; i++) {
        enum kind kind = i % KINDS;
        struct identity id = {0}, other;
        make(kind, block, &id);
        other = id;
        other.self = kind == COMMIT ? (id.self + 1) % SFS_RING_SLOTS : id.self + 1;
        CHECK_EQ(take(kind, block, &other, again, &t), SCALEFS_E_CORRUPT);
        for (enum kind k = 0; k < KINDS; k++) /* a block of another type */
            if (k != kind)
                CHECK_EQ(take(k, block, &id, again, &t), SCALEFS_E_CORRUPT);
        if (kind != DIRECTORY && kind != TABLE)
            continue;
        other = id;
        other.pool = some_uuid();
        CHECK_EQ(take(kind, block, &other, again, &t), SCALEFS_E_CORRUPT);
        other = id;
        other.checksum++;
        CHECK_EQ(take(kind, block, &other, again, &t), SCALEFS_E_CORRUPT);
        other = id;
        other.page++;
        if (kind == TABLE)
            CHECK_EQ(take(kind, block, &other, again, &t), SCALEFS_E_CORRUPT);
    }
    sfs_text_deinit(&t);
}

/* A pool cannot pass for another even if its name in the header is the only thing changed. */
static void the_pool_is_part_of_the_checksum(void)
{
    uint8_t block[SFS_BLOCK], copy[SFS_BLOCK], again[SFS_BLOCK];
    struct identity id = {0};
    make(COLUMN, block, &id);
    memcpy(copy, block, sizeof copy);
    memset(copy + 8, 0, 8);
    CHECK(sfs_get64(block + 8) ==
          sfs_hash_identity(copy, SFS_BLOCK, SFS_BLOCK_COLUMN, id.self, sfs_get64(block + 24)));
    struct sfs_text t;
    sfs_text_init(&t, NULL);
    test_fill(block + 24, 16);
    CHECK_EQ(take(COLUMN, block, &id, again, &t), SCALEFS_E_CORRUPT);
    sfs_text_deinit(&t);
}

static void noise_is_never_accepted(void)
{
    uint8_t block[SFS_BLOCK], again[SFS_BLOCK];
    struct sfs_text t;
    sfs_text_init(&t, NULL);
    for (int i = 0; i < 2000; i++) {
        enum kind kind = i % KINDS;
        struct identity id = {test_random() >> 32, some_uuid(), test_random(), 0};
        test_fill(block, sizeof block);
        if (test_below(2)) { /* noise with a header that looks right */
            struct sfs_uuid pool = id.pool;
            uint8_t head[SFS_BLOCK];
            sfs_block_begin(head, (enum sfs_block_type)(kind + 1), id.self, &pool);
            memcpy(block, head, 8);
            memcpy(block + 16, head + 16, 24);
        }
        CHECK_EQ(take(kind, block, &id, again, &t), SCALEFS_E_CORRUPT);
    }
    sfs_text_deinit(&t);
}

/* Someone made an image on purpose: the checksum is right, the fields are not. Whatever is accepted
 * can be encoded again (which asserts every bound) and printed. */
static void lies_behind_a_right_checksum_do_no_harm(void)
{
    uint8_t block[SFS_BLOCK], again[SFS_BLOCK];
    struct sfs_text t;
    sfs_text_init(&t, NULL);
    unsigned refused = 0, accepted = 0;
    for (int i = 0; i < 20000; i++) {
        enum kind kind = i % KINDS;
        struct identity id = {0};
        make(kind, block, &id);
        for (uint64_t n = 1 + test_below(4); n > 0; n--)
            block[SFS_BLOCK_HEAD + test_below(test_below(2) ? 210 : SFS_BLOCK - SFS_BLOCK_HEAD)] =
                (uint8_t)test_random();
        id.checksum = sfs_block_seal(block);
        id.page = kind == TABLE ? sfs_get32(block + 40) : 0;
        sfs_text_clear(&t);
        int err = take(kind, block, &id, again, &t);
        CHECK(err == SCALEFS_OK || err == SCALEFS_E_CORRUPT || err == SCALEFS_E_VERSION);
        err ? refused++ : accepted++;
    }
    CHECK(refused > 1000 && accepted > 1000);
    sfs_text_deinit(&t);
}

static void a_newer_version_is_said(void)
{
    uint8_t block[SFS_BLOCK], again[SFS_BLOCK];
    struct sfs_text t;
    sfs_text_init(&t, NULL);
    for (enum kind kind = 0; kind < KINDS; kind++) {
        struct identity id = {0};
        make(kind, block, &id);
        sfs_put16(block + 6, 2);
        id.checksum = sfs_block_seal(block);
        CHECK_EQ(take(kind, block, &id, again, &t), SCALEFS_E_VERSION);
    }
    sfs_text_deinit(&t);
}

static void fields_stand_where_the_document_says(void)
{
    uint8_t b[SFS_BLOCK];
    struct sfs_label l = some_label();
    strcpy(l.name, "tank");
    strcpy(l.station, "shelf 1");
    sfs_label_encode(&l, SFS_LABEL_OFFSET_1, b);
    CHECK_MEM(b, "SFS1\1\0\1\0", 8);
    CHECK_EQ(sfs_get64(b + 16), 512 << 10);
    CHECK_MEM(b + 24, l.pool.bytes, 16);
    CHECK_EQ(sfs_get64(b + 48), l.readonly);
    CHECK_MEM(b + 64, l.disk.bytes, 16);
    CHECK_EQ(sfs_get16(b + 80), l.index);
    CHECK_EQ(sfs_get32(b + 84), l.sector_bytes);
    CHECK_EQ(sfs_get64(b + 96), l.data_offset);
    CHECK_EQ(sfs_get32(b + 108), l.table_slots);
    CHECK_EQ(sfs_get64(b + 112), l.joined_ns);
    CHECK_MEM(b + 120, "\4tank\0", 6);
    CHECK_MEM(b + 184, "\7shelf 1\0", 9);
    CHECK_EQ(sfs_get32(b + 248), l.atom_bytes);
    CHECK_EQ(sfs_get64(b + 256), l.number);
    l.layout = SFS_LAYOUT_ZONED;
    l.atom_bytes = 256 << 20;
    l.data_offset = 1 << 30;
    l.size = 5ull << 30;
    l.atoms = 16;
    l.table_slots = 767;
    sfs_label_encode(&l, SFS_LABEL_OFFSET_1, b);
    CHECK_EQ(b[83], 1);
    CHECK_EQ(sfs_get32(b + 248), 256 << 20);

    static struct sfs_commit c;
    c = some_commit();
    c.clean = false;
    c.exported = true;
    c.directory_count = SFS_DIR_PAGES_MAX;
    c.directory[235] = (struct sfs_pageptr){77, 0x1234567890abcdef};
    sfs_commit_encode(&c, b);
    CHECK_EQ(sfs_get16(b + 4), 2);
    CHECK(sfs_get64(b + 16) == c.seq && sfs_get64(b + 72) == c.seq);
    CHECK(sfs_get64(b + 64) == c.txn && sfs_get64(b + 96) == c.host);
    CHECK_EQ(b[104], 2);
    CHECK(sfs_get64(b + 112) == c.next_id);
    CHECK(sfs_get32(b + 120) == c.extent_map.group && b[124] == c.extent_map.level);
    CHECK(sfs_get64(b + 128) == c.extent_map.offset && sfs_get64(b + 136) == c.extent_map.id);
    CHECK(sfs_get64(b + 144) == c.extent_map.checksum);
    CHECK(sfs_get32(b + 152) == c.space.group && sfs_get64(b + 184) == c.pool_tree);
    CHECK_EQ(sfs_get16(b + 192), 236);
    CHECK(sfs_get32(b + 264 + 235 * 16) == 77);
    CHECK(sfs_get64(b + 272 + 235 * 16) == 0x1234567890abcdef);

    struct sfs_column_header h = some_column();
    sfs_column_encode(&h, 1 << 22, b);
    CHECK_EQ(sfs_get16(b + 4), 5);
    CHECK(sfs_get32(b + 40) == h.group && b[44] == h.column && b[47] == h.class);
    CHECK(sfs_get64(b + 48) == h.generation && sfs_get32(b + 60) == h.rows);
    CHECK(sfs_get16(b + 72) == 1 && sfs_get16(b + 74) == h.disk_index);
    CHECK(sfs_get64(b + 80) == h.txn && !memcmp(b + 88, h.disk.bytes, 16));
}

static void geometry_is_that_of_the_document(void)
{
    struct sfs_geometry g;
    CHECK_EQ(sfs_geometry_of(0, &g), SCALEFS_E_TOO_SMALL);
    CHECK_EQ(sfs_geometry_of(SFS_DISK_MIN_BYTES - 1, &g), SCALEFS_E_TOO_SMALL);
    REQUIRE_OK(sfs_geometry_of(SFS_DISK_MIN_BYTES, &g));
    CHECK_EQ(g.data_offset, 4 << 20);
    CHECK_EQ(g.atoms, 6);
    CHECK_EQ(g.table_slots, 768);
    CHECK_EQ(g.label_offset_2, (32 << 20) - 4096);
    REQUIRE_OK(sfs_geometry_of((8ull << 40) + 1, &g));
    CHECK_EQ(g.data_offset, 128 << 20);
    REQUIRE_OK(sfs_geometry_of(1ull << 40, &g));
    CHECK_EQ(g.data_offset, 16 << 20);
    for (int i = 0; i < 5000; i++) {
        uint64_t size = SFS_DISK_MIN_BYTES + (test_random() >> (4 + test_below(40)));
        REQUIRE_OK(sfs_geometry_of(size, &g));
        CHECK(g.data_offset % SFS_ATOM_BYTES == 0 && g.data_offset >= 4u << 20 &&
              g.data_offset <= 1u << 30);
        CHECK(SFS_TABLE_OFFSET + (uint64_t)g.table_slots * SFS_BLOCK <= g.data_offset);
        uint64_t end = g.data_offset + (uint64_t)g.atoms * SFS_ATOM_BYTES;
        CHECK(end <= size - 65536 && end <= g.label_offset_2);
        CHECK(end + SFS_ATOM_BYTES > size - 65536 || g.atoms == SFS_NONE32);
        CHECK(g.label_offset_2 % SFS_BLOCK == 0 && g.label_offset_2 + SFS_BLOCK <= size);
    }
}

static void node_pointers_have_their_length(void)
{
    uint8_t b[SFS_NODEPTR_BYTES + 1];
    struct sfs_nodeptr p = some_nodeptr(), q;
    sfs_nodeptr_encode(&p, b);
    CHECK_OK(sfs_nodeptr_decode(b, SFS_NODEPTR_BYTES, &q));
    CHECK(p.group == q.group && p.level == q.level && p.offset == q.offset && p.id == q.id &&
          p.checksum == q.checksum);
    for (size_t len = 0; len < sizeof b; len++)
        if (len != SFS_NODEPTR_BYTES)
            CHECK_EQ(sfs_nodeptr_decode(b, len, &q), SCALEFS_E_CORRUPT);
    CHECK_EQ(sfs_nodeptr_decode(b, sizeof b, &q), SCALEFS_E_CORRUPT);
    b[4] = 16; /* no tree is that high */
    CHECK_EQ(sfs_nodeptr_decode(b, SFS_NODEPTR_BYTES, &q), SCALEFS_E_CORRUPT);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(come_back_as_they_went);
    RUN(a_flipped_bit_is_seen);
    RUN(another_identity_is_refused);
    RUN(the_pool_is_part_of_the_checksum);
    RUN(noise_is_never_accepted);
    RUN(lies_behind_a_right_checksum_do_no_harm);
    RUN(a_newer_version_is_said);
    RUN(fields_stand_where_the_document_says);
    RUN(geometry_is_that_of_the_document);
    RUN(node_pointers_have_their_length);
    return TEST_END();
}
