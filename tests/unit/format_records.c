/* The records of the table: round trips, truncation at every length, damage in every byte, and the
 * walk over a page. */
#include "test.h"

#include "format/block.h"
#include "format/print.h"

#define ROOM 1024

static void some_text(char *text, size_t room)
{
    size_t len = test_below(room);
    memset(text, 0, room);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(1 + test_below(255));
}

static struct sfs_group_record some_group(void)
{
    struct sfs_group_record r = {0};
    r.group = (uint32_t)test_below(SFS_NONE32);
    r.generation = test_random();
    r.class = test_below(SFS_CLASSES);
    r.state = test_below(3);
    r.k = r.class == SFS_CLASS_DATA ? 1 + test_below(63) : 1;
    r.m = test_below(r.k + 31 > 64 ? 65 - r.k : 32);
    r.unit_log2 = r.class == SFS_CLASS_DATA ? 15 + test_below(4) : r.class == SFS_CLASS_LANDING ? 12 : 14;
    r.column_log2 = 22 + test_below(9);
    r.sequential = test_below(2);
    r.rows = ((1u << r.column_log2) - 4096) >> r.unit_log2;
    r.birth = test_random();
    for (unsigned c = 0; c < (unsigned)r.k + r.m; c++)
        r.columns[c] = (struct sfs_column){(uint16_t)test_random(), (uint32_t)test_random()};
    return r;
}

static struct sfs_disk_record some_disk(void)
{
    struct sfs_disk_record r = {0};
    r.index = (uint16_t)test_below(SFS_NONE16);
    test_fill(r.uuid.bytes, sizeof r.uuid.bytes);
    r.presence = test_below(2);
    r.wish = test_below(4);
    r.role = (uint8_t)test_random();
    r.last_tenure = test_random();
    r.last_txn = test_random();
    r.size = test_random() | 1ull << 63;
    r.data_offset = test_random() >> 1;
    r.atoms = (uint32_t)test_random();
    r.table_slots = (uint32_t)test_random();
    r.sector_bytes = test_below(2) ? 512 : 4096;
    r.layout = test_below(2);
    r.atom_bytes = SFS_ATOM_BYTES << (r.layout ? test_below(9) : 0);
    r.flushed_txn = test_random();
    r.read_errors = test_random();
    r.write_errors = test_random();
    r.checksum_errors = test_random();
    r.replaced_by = (uint16_t)test_random();
    some_text(r.station, sizeof r.station);
    some_text(r.path, sizeof r.path);
    r.wanted_size = test_below(2) ? r.size : r.data_offset + test_below(r.size - r.data_offset);
    r.device_size = test_random();
    r.paused = test_below(2);
    return r;
}

static struct sfs_config_record some_config(void)
{
    struct sfs_config_record r = {0};
    some_text(r.name, sizeof r.name);
    r.failover = test_below(32);
    r.optimize = test_below(101);
    r.verify = test_below(2);
    r.compression = test_below(2);
    r.zstd_level = (int8_t)test_random();
    r.width_cap = 1 + test_below(64);
    r.record_bytes = 4096u << test_below(7);
    r.next_disk = (uint32_t)test_below(SFS_NONE16);
    r.created_ns = (int64_t)test_random();
    r.extents_repaired = test_random();
    r.extents_lost = test_random();
    r.next_generation = test_random();
    r.rate = test_random();
    r.paused = test_below(8);
    r.was_failover = test_below(32);
    r.was_optimize = test_below(101);
    return r;
}

static void put_some(struct sfs_writer *w, uint8_t type)
{
    static uint8_t bits[256];
    struct sfs_config_record config = some_config();
    struct sfs_disk_record disk = some_disk();
    struct sfs_tenure_record tenure = {test_random(), test_random() >> 1, test_random() | 1ull << 63, test_random(),
                                       (int64_t)test_random()};
    struct sfs_group_record group = some_group();
    struct sfs_count_record count = {(uint32_t)test_random(), test_random(),
                                     (uint32_t)test_random(), (uint32_t)test_random(),
                                     test_random()};
    struct sfs_bitmap_record bitmap = {(uint32_t)test_random(), (uint32_t)test_random() >> 1,
                                       (uint16_t)test_below(sizeof bits + 1), bits};
    struct sfs_task_record task = {(uint32_t)test_random(), 1, test_below(2),
                                   (uint32_t)test_random(), (uint32_t)test_random(), test_random(),
                                   test_random(), test_random(), test_random(),
                                   (int64_t)test_random()};
    test_fill(bits, sizeof bits);
    switch (type) {
    case SFS_RECORD_CONFIG: sfs_config_put(w, &config); break;
    case SFS_RECORD_DISK: sfs_diskrec_put(w, &disk); break;
    case SFS_RECORD_TENURE: sfs_tenure_put(w, &tenure); break;
    case SFS_RECORD_GROUP: sfs_group_put(w, &group); break;
    case SFS_RECORD_COUNT: sfs_count_put(w, &count); break;
    case SFS_RECORD_BITMAP: sfs_bitmap_put(w, &bitmap); break;
    default: sfs_task_put(w, &task); break;
    }
}

/* Decodes a payload and, when it is accepted, puts it again (which asserts all bounds). */
static int take(uint8_t type, const uint8_t *p, uint16_t len, struct sfs_writer *w)
{
    static struct sfs_config_record config;
    static struct sfs_disk_record disk;
    static struct sfs_tenure_record tenure;
    static struct sfs_group_record group;
    static struct sfs_count_record count;
    static struct sfs_bitmap_record bitmap;
    static struct sfs_task_record task;
    int err;
    switch (type) {
    case SFS_RECORD_CONFIG:
        if (!(err = sfs_config_get(p, len, &config)))
            sfs_config_put(w, &config);
        return err;
    case SFS_RECORD_DISK:
        if (!(err = sfs_diskrec_get(p, len, &disk)))
            sfs_diskrec_put(w, &disk);
        return err;
    case SFS_RECORD_TENURE:
        if (!(err = sfs_tenure_get(p, len, &tenure)))
            sfs_tenure_put(w, &tenure);
        return err;
    case SFS_RECORD_GROUP:
        if (!(err = sfs_group_get(p, len, &group)))
            sfs_group_put(w, &group);
        return err;
    case SFS_RECORD_COUNT:
        if (!(err = sfs_count_get(p, len, &count)))
            sfs_count_put(w, &count);
        return err;
    case SFS_RECORD_BITMAP:
        if (!(err = sfs_bitmap_get(p, len, &bitmap)))
            sfs_bitmap_put(w, &bitmap);
        return err;
    default:
        if (!(err = sfs_task_get(p, len, &task)))
            sfs_task_put(w, &task);
        return err;
    }
}

static void come_back_as_they_went(void)
{
    uint8_t bytes[ROOM], again[ROOM];
    for (int i = 0; i < 2000; i++) {
        uint16_t want = 1 + i % 7, type, len;
        const uint8_t *payload;
        struct sfs_writer w = sfs_writer(bytes, sizeof bytes), w2 = sfs_writer(again, sizeof again);
        put_some(&w, want);
        REQUIRE(!w.bad);
        struct sfs_reader r = sfs_reader(bytes, sfs_writer_len(&w));
        REQUIRE_OK(sfs_record_next(&r, &type, &payload, &len));
        CHECK_EQ(type, want);
        CHECK_EQ(len, sfs_writer_len(&w) - SFS_RECORD_HEAD);
        CHECK_OK(take(type, payload, len, &w2));
        CHECK_EQ(sfs_writer_len(&w), sfs_writer_len(&w2));
        CHECK_MEM(bytes, again, sfs_writer_len(&w));
        CHECK_EQ(sfs_record_next(&r, &type, &payload, &len), SCALEFS_E_NODATA);
    }
}

/* Lengths by docs/FORMAT.md. */
static void lengths_are_those_of_the_document(void)
{
    static const struct {
        uint8_t type;
        unsigned len;
    } fixed[] = {{SFS_RECORD_CONFIG, 123}, {SFS_RECORD_TENURE, 40}, {SFS_RECORD_COUNT, 28},
                 {SFS_RECORD_TASK, 54}};
    uint8_t bytes[ROOM];
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        struct sfs_writer w = sfs_writer(bytes, sizeof bytes);
        put_some(&w, fixed[i].type);
        CHECK_EQ(sfs_get16(bytes + 2), fixed[i].len);
    }
    struct sfs_group_record g = some_group();
    struct sfs_writer w = sfs_writer(bytes, sizeof bytes);
    sfs_group_put(&w, &g);
    CHECK_EQ(sfs_get16(bytes + 2), 32 + 8 * (g.k + g.m));
    CHECK_EQ(sfs_get16(bytes + 4 + 32), g.columns[0].disk);
    struct sfs_disk_record d = some_disk();
    w = sfs_writer(bytes, sizeof bytes);
    sfs_diskrec_put(&w, &d);
    CHECK_EQ(sfs_get16(bytes + 2), 124 + strlen(d.station) + strlen(d.path));
}

static unsigned later_bytes(uint8_t type)
{
    return type == SFS_RECORD_CONFIG ? 11 : type == SFS_RECORD_DISK ? 17 : 0;
}

/* What a newer program has added behind is passed over. */
static void a_cut_payload_is_refused_a_longer_one_is_not(void)
{
    uint8_t bytes[ROOM], again[ROOM];
    for (int i = 0; i < 70; i++) {
        struct sfs_writer w = sfs_writer(bytes, sizeof bytes);
        put_some(&w, 1 + i % 7);
        uint16_t len = sfs_get16(bytes + 2);
        for (uint16_t cut = 0; cut < len; cut++) {
            /* A copy of exactly that length, so that a sanitizer sees a read behind it. */
            uint8_t *copy = malloc(cut ? cut : 1);
            memcpy(copy, bytes + 4, cut);
            struct sfs_writer w2 = sfs_writer(again, sizeof again);
            bool older = cut + later_bytes(bytes[0]) == len; /* what a program wrote that did not know these fields */
            CHECK_EQ(take(bytes[0], copy, cut, &w2), older ? SCALEFS_OK : SCALEFS_E_CORRUPT);
            free(copy);
        }
        test_fill(bytes + 4 + len, 9);
        struct sfs_writer w2 = sfs_writer(again, sizeof again);
        CHECK_OK(take(bytes[0], bytes + 4, len + 9, &w2));
        CHECK_EQ(sfs_writer_len(&w2), 4u + len);
        CHECK_MEM(bytes, again, 4u + len);
    }
}

static void lies_do_no_harm(void)
{
    uint8_t bytes[ROOM], again[ROOM];
    struct sfs_text t;
    sfs_text_init(&t, NULL);
    unsigned refused = 0;
    for (int i = 0; i < 50000; i++) {
        struct sfs_writer w = sfs_writer(bytes, sizeof bytes);
        put_some(&w, 1 + i % 7);
        uint16_t len = sfs_get16(bytes + 2);
        for (uint64_t n = 1 + test_below(3); n > 0; n--)
            bytes[4 + test_below(len)] = (uint8_t)test_random();
        struct sfs_writer w2 = sfs_writer(again, sizeof again);
        refused += take(bytes[0], bytes + 4, len, &w2) != SCALEFS_OK;
        sfs_text_clear(&t);
        sfs_record_to_text(&t, (uint8_t)test_below(9), bytes + 4, len);
        CHECK(t.len > 10 && strlen(sfs_text_chars(&t)) == t.len);
    }
    CHECK(refused > 2000);
    for (int i = 0; i < 50000; i++) {
        uint16_t len = (uint16_t)test_below(200);
        test_fill(bytes, len);
        struct sfs_writer w2 = sfs_writer(again, sizeof again);
        take(1 + i % 7, bytes, len, &w2);
    }
    sfs_text_deinit(&t);
}

static void bounds_are_kept(void)
{
    uint8_t bytes[ROOM];
    static struct sfs_group_record g;
    struct sfs_config_record c = some_config(), c2;
    struct sfs_writer w = sfs_writer(bytes, sizeof bytes);
    sfs_config_put(&w, &c);
    bytes[4 + 64] = 32; /* failover */
    CHECK_EQ(sfs_config_get(bytes + 4, 112, &c2), SCALEFS_E_CORRUPT);
    struct sfs_group_record a = some_group();
    a.class = SFS_CLASS_DATA;
    a.unit_log2 = 17;
    a.column_log2 = 24;
    a.rows = 127;
    a.k = 4;
    a.m = 2;
    w = sfs_writer(bytes, sizeof bytes);
    sfs_group_put(&w, &a);
    CHECK_OK(sfs_group_get(bytes + 4, sfs_get16(bytes + 2), &g));
    sfs_put32(bytes + 4 + 20, 128); /* a row too many: it would lie in the next column */
    CHECK_EQ(sfs_group_get(bytes + 4, sfs_get16(bytes + 2), &g), SCALEFS_E_CORRUPT);
    sfs_put32(bytes + 4 + 20, 0);
    CHECK_EQ(sfs_group_get(bytes + 4, sfs_get16(bytes + 2), &g), SCALEFS_E_CORRUPT);
}

static void a_page_is_walked_to_its_end(void)
{
    static uint8_t bytes[SFS_TABLE_ROOM], block[SFS_BLOCK];
    struct sfs_uuid pool;
    test_fill(pool.bytes, sizeof pool.bytes);
    struct sfs_writer w = sfs_writer(bytes, sizeof bytes);
    unsigned count = 0, seen = 0;
    size_t used = 0;
    while (put_some(&w, 1 + count % 7), !w.bad) {
        count++;
        used = sfs_writer_len(&w);
    }
    CHECK(count > 10);
    uint64_t sum;
    sfs_table_encode(bytes, (uint32_t)used, 9, &pool, 3, block, &sum);
    const uint8_t *at, *payload;
    uint32_t len;
    uint16_t payload_len, type;
    REQUIRE_OK(sfs_table_decode(block, &pool, 3, sum, 9, &at, &len));
    CHECK_EQ(len, used);
    struct sfs_reader r = sfs_reader(at, len);
    int err;
    while (!(err = sfs_record_next(&r, &type, &payload, &payload_len)))
        CHECK_EQ(type, 1 + seen++ % 7);
    CHECK_EQ(err, SCALEFS_E_NODATA);
    CHECK_EQ(seen, count);
    for (uint32_t cut = 1; cut < 300; cut++) { /* never a step outside */
        r = sfs_reader(at, cut);
        while (!(err = sfs_record_next(&r, &type, &payload, &payload_len)))
            CHECK(payload + payload_len <= at + cut);
        CHECK(err == SCALEFS_E_NODATA || err == SCALEFS_E_CORRUPT);
        CHECK(err == SCALEFS_E_NODATA || sfs_record_next(&r, &type, &payload, &payload_len) == err);
    }
    bytes[1] = 2; /* a type that nobody knows yet */
    r = sfs_reader(bytes, used);
    CHECK_OK(sfs_record_next(&r, &type, &payload, &payload_len));
    CHECK_EQ(type, 513);
}

static void texts_cannot_drive_a_terminal(void)
{
    struct sfs_disk_record d = some_disk();
    struct sfs_text t;
    strcpy(d.path, "/dev/\033[2J\"\\\xc2\x9b\xc3\xa4");
    sfs_text_init(&t, NULL);
    sfs_diskrec_to_text(&t, &d);
    CHECK(strstr(sfs_text_chars(&t), "/dev/\\x1b[2J\\x22\\x5c\xc2\\x9b\xc3\xa4\""));
    sfs_text_deinit(&t);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(come_back_as_they_went);
    RUN(lengths_are_those_of_the_document);
    RUN(a_cut_payload_is_refused_a_longer_one_is_not);
    RUN(lies_do_no_harm);
    RUN(bounds_are_kept);
    RUN(a_page_is_walked_to_its_end);
    RUN(texts_cannot_drive_a_terminal);
    return TEST_END();
}
