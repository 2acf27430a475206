/* Random operations on a few files, compared with a model after each; refused transactions and batches; crashes.
 *
 * After a crash the names must be those of the last sync, and a file's every byte one that it had at that place
 * since it was last synced itself: data may be missing, never wrong.
 */
#include "fs_fixture.h"

#define FILES 6u
#define SIZE_MAX_ 150000u
#define HISTORY 48u

struct state {
    size_t size;
    uint8_t *data;
};
struct file {
    uint64_t ino;
    struct state now;
    struct state history[HISTORY]; /* what it was since it was synced, itself included */
    unsigned count;
    struct file *next;
};
struct model {
    struct fixture f;
    struct file *slots[FILES], *synced[FILES], *all;
    unsigned ops, crashes, faults;
    bool trace;
};

static void copy_state(struct state *to, const struct state *from)
{
    to->size = from->size;
    to->data = malloc(SIZE_MAX_);
    memcpy(to->data, from->data, SIZE_MAX_);
}

static void forget_history(struct file *file)
{
    while (file->count)
        free(file->history[--file->count].data);
    copy_state(&file->history[file->count++], &file->now);
}

static void note(struct file *file)
{
    if (file->count == HISTORY)
        abort();
    copy_state(&file->history[file->count++], &file->now);
}

static const char *slot_name(unsigned slot)
{
    static const char *const names[FILES] = {"a", "b", "c", "d", "e", "f"};
    return names[slot];
}

static struct file *new_file(struct model *m, uint64_t ino)
{
    struct file *file = calloc(1, sizeof *file);
    file->ino = ino;
    file->now.data = calloc(1, SIZE_MAX_);
    file->next = m->all;
    m->all = file;
    note(file);
    return file;
}

static bool used(const struct model *m, const struct file *file)
{
    for (unsigned i = 0; i < FILES; i++)
        if (m->slots[i] == file || m->synced[i] == file)
            return true;
    return false;
}

static void sweep(struct model *m)
{
    for (struct file **at = &m->all; *at;) {
        struct file *file = *at;
        if (used(m, file)) {
            at = &file->next;
            continue;
        }
        *at = file->next;
        while (file->count)
            free(file->history[--file->count].data);
        free(file->now.data);
        free(file);
    }
}

/* --- compare ------------------------------------------------------------------------------------------------------- */

static bool same(struct model *m, const struct file *file)
{
    uint8_t *got = malloc(SIZE_MAX_ + 1);
    size_t done = 0;
    bool good = CHECK_EQ(attr_of(&m->f, file->ino).size, file->now.size) &&
                CHECK_OK(sfs_fs_read(m->f.fs, file->ino, 0, got, SIZE_MAX_ + 1, &done)) &&
                CHECK_EQ(done, file->now.size) && CHECK_MEM(got, file->now.data, done);
    free(got);
    return good;
}

/* After a crash: what is there becomes the model. */
static bool plausible(struct model *m, struct file *file)
{
    uint8_t *got = calloc(1, SIZE_MAX_ + 1);
    size_t done = 0, least = SIZE_MAX_, most = 0;
    if (!CHECK_OK(sfs_fs_read(m->f.fs, file->ino, 0, got, SIZE_MAX_ + 1, &done))) {
        free(got);
        return false;
    }
    for (unsigned i = 0; i < file->count; i++) {
        least = file->history[i].size < least ? file->history[i].size : least;
        most = file->history[i].size > most ? file->history[i].size : most;
    }
    bool good = CHECK(done >= least && done <= most);
    for (size_t at = 0; at < done && good; at++) {
        bool known = false;
        for (unsigned i = 0; i < file->count && !known; i++)
            known = at < file->history[i].size && file->history[i].data[at] == got[at];
        if (!known)
            printf("# inode %" PRIu64 " at %zu: %02x was never there\n", file->ino, at, got[at]);
        good = CHECK(known);
    }
    memset(file->now.data, 0, SIZE_MAX_);
    memcpy(file->now.data, got, done);
    file->now.size = done;
    forget_history(file);
    free(got);
    return good;
}

static bool compare_all(struct model *m)
{
    bool good = true;
    for (unsigned i = 0; i < FILES; i++) {
        uint64_t ino = find(&m->f, ROOT, slot_name(i));
        good = CHECK_EQ(ino, m->slots[i] ? m->slots[i]->ino : 0) && good;
        if (good && m->slots[i])
            good = same(m, m->slots[i]);
    }
    return good;
}

/* --- operations ------------------------------------------------------------------------------------------------------ */

static void synced(struct model *m)
{
    memcpy(m->synced, m->slots, sizeof m->slots);
    sweep(m);
}

static void sync_all(struct model *m)
{
    if (sfs_fs_sync(m->f.fs))
        return;
    for (unsigned i = 0; i < FILES; i++)
        if (m->slots[i])
            forget_history(m->slots[i]);
    synced(m);
}

static void crash(struct model *m)
{
    m->crashes++;
    fake_store_fail_tx(m->f.store, 0, 0, 0);
    fake_store_fail_batch(m->f.store, 0, 0, 0);
    fixture_crash(&m->f);
    memcpy(m->slots, m->synced, sizeof m->slots);
    for (unsigned i = 0; i < FILES; i++) {
        uint64_t ino = find(&m->f, ROOT, slot_name(i));
        CHECK_EQ(ino, m->slots[i] ? m->slots[i]->ino : 0);
        if (m->slots[i] && ino == m->slots[i]->ino)
            plausible(m, m->slots[i]);
    }
    CHECK_OK(sfs_store_sync(m->f.store));
    synced(m);
    fixture_check(&m->f);
}

static void change_size(struct state *s, size_t size)
{
    if (size < s->size)
        memset(s->data + size, 0, s->size - size);
    s->size = size;
}

static void op_write(struct model *m, struct file *file, bool append)
{
    uint8_t buf[20000];
    size_t len = test_below(4) ? 1 + test_below(3000) : 1 + test_below(sizeof buf);
    uint64_t at = append ? file->now.size : test_below(SIZE_MAX_ - len), where = at;
    if (at + len > SIZE_MAX_)
        return;
    test_fill(buf, len);
    int err = append ? sfs_fs_append(m->f.fs, file->ino, buf, len, &where)
                     : sfs_fs_write(m->f.fs, file->ino, at, buf, len);
    if (err)
        return;
    CHECK_EQ(where, at);
    memcpy(file->now.data + at, buf, len);
    if (at + len > file->now.size)
        file->now.size = at + len;
    note(file);
}

static void op_resize(struct model *m, struct file *file)
{
    struct scalefs_attr set = {.size = test_below(SIZE_MAX_)}, a;
    if (sfs_fs_setattr(m->f.fs, file->ino, &set, SCALEFS_SET_SIZE, &a))
        return;
    change_size(&file->now, set.size);
    note(file);
}

static void op_punch(struct model *m, struct file *file)
{
    bool zero = test_below(2);
    uint64_t at = test_below(SIZE_MAX_), len = 1 + test_below(SIZE_MAX_ - at);
    unsigned flags = zero ? (unsigned)SCALEFS_FALLOC_ZERO_RANGE
                          : (unsigned)(SCALEFS_FALLOC_PUNCH_HOLE | SCALEFS_FALLOC_KEEP_SIZE);
    if (test_below(2))
        len = len < 5000 ? len : 5000;
    if (sfs_fs_fallocate(m->f.fs, file->ino, flags, at, len)) {
        /* The hole may be there although the size could not be made larger. */
        uint8_t *got = malloc(SIZE_MAX_);
        size_t done = 0;
        CHECK_EQ(attr_of(&m->f, file->ino).size, file->now.size);
        CHECK_OK(sfs_fs_read(m->f.fs, file->ino, 0, got, SIZE_MAX_, &done));
        bool as_before = !memcmp(got, file->now.data, done);
        free(got);
        if (as_before)
            return;
        zero = false;
    }
    uint64_t end = at + len < file->now.size ? at + len : file->now.size;
    if (end > at)
        memset(file->now.data + at, 0, end - at);
    if (zero && at + len > file->now.size)
        file->now.size = at + len;
    note(file);
}

static void op_clone(struct model *m, struct file *from, struct file *to)
{
    uint64_t done = 0, at = test_below(SIZE_MAX_), len = 1 + test_below(SIZE_MAX_ - at), to_at = test_below(SIZE_MAX_);
    if (len > SIZE_MAX_ - to_at)
        len = SIZE_MAX_ - to_at;
    if (at >= from->now.size)
        at = test_below(from->now.size + 1);
    uint64_t take = at < from->now.size ? from->now.size - at : 0;
    take = take < len ? take : len;
    int err = sfs_fs_copy_range(m->f.fs, from->ino, at, to->ino, to_at, len, &done);
    bool overlap = from == to && at < to_at + take && to_at < at + take;
    if (overlap && err != SCALEFS_E_NOSPC && err != SCALEFS_E_IO)
        CHECK_EQ(err, SCALEFS_E_INVAL);
    CHECK(done <= take);
    if (!err && !done)
        CHECK_EQ(take, 0);
    if (!done)
        return;
    memmove(to->now.data + to_at, from->now.data + at, done);
    if (to_at + done > to->now.size)
        to->now.size = to_at + done;
    note(to);
}

static void op_names(struct model *m)
{
    unsigned i = (unsigned)test_below(FILES), j = (unsigned)test_below(FILES);
    struct scalefs_attr a;
    if (!m->slots[i]) {
        if (!sfs_fs_mknod(m->f.fs, ROOT, slot_name(i), 1, SCALEFS_S_IFREG | 0644, 0, 0, owner, &a))
            m->slots[i] = new_file(m, a.ino);
        return;
    }
    if (!test_below(3)) {
        bool held = test_below(2) && !sfs_fs_hold(m->f.fs, m->slots[i]->ino);
        uint64_t ino = m->slots[i]->ino;
        if (!unlink_name(&m->f, ROOT, slot_name(i)))
            m->slots[i] = NULL;
        if (held)
            sfs_fs_release_hold(m->f.fs, ino, 1);
        return;
    }
    unsigned flags = m->slots[j] && test_below(2) ? (unsigned)SCALEFS_RENAME_EXCHANGE : 0;
    if (i == j || rename_name(&m->f, ROOT, slot_name(i), ROOT, slot_name(j), flags))
        return;
    struct file *old = m->slots[j];
    m->slots[j] = m->slots[i];
    m->slots[i] = flags ? old : NULL;
}

static void op_seek(struct model *m, struct file *file)
{
    uint64_t at = 0, data, hole;
    while (at < file->now.size) {
        int err = sfs_fs_seek(m->f.fs, file->ino, at, false, &data);
        uint64_t end = err == SCALEFS_E_NXIO ? file->now.size : data;
        for (uint64_t i = at; i < end; i++)
            if (file->now.data[i]) {
                CHECK(!file->now.data[i]); /* a hole has only zeros */
                return;
            }
        if (err)
            break;
        CHECK_OK(sfs_fs_seek(m->f.fs, file->ino, data, true, &hole));
        if (!CHECK(data >= at && hole > data))
            return;
        at = hole;
    }
}

static void op_read(struct model *m, struct file *file)
{
    uint8_t buf[30000];
    size_t done, len = 1 + test_below(sizeof buf), at = test_below(SIZE_MAX_);
    CHECK_OK(sfs_fs_read(m->f.fs, file->ino, at, buf, len, &done));
    size_t want = at < file->now.size ? file->now.size - at : 0;
    CHECK_EQ(done, want < len ? want : len);
    CHECK_MEM(buf, file->now.data + at, done);
}

static void op_fault(struct model *m)
{
    m->faults++;
    if (test_below(2))
        fake_store_fail_tx(m->f.store, 1 + test_below(5), 1 + test_below(3), SCALEFS_E_NOSPC);
    else
        fake_store_fail_batch(m->f.store, 1 + test_below(3), 1 + test_below(3), SCALEFS_E_IO);
}

static void step(struct model *m, bool faults, bool crashes)
{
    struct file *file = m->slots[test_below(FILES)], *other = m->slots[test_below(FILES)];
    unsigned op = (unsigned)test_below(100);
    if (m->trace)
        printf("# op %u: %u on %" PRIu64 "\n", m->ops, op, file ? file->ino : 0);
    for (unsigned i = 0; i < FILES; i++)
        if (m->slots[i] && m->slots[i]->count > HISTORY - 3)
            sync_all(m);
    if (file && file->count > HISTORY - 3) /* the sync was refused: not now */
        return;
    if (other && other->count > HISTORY - 3)
        return;
    if (!file || op < 12)
        op_names(m);
    else if (op < 45)
        op_write(m, file, op < 20);
    else if (op < 53)
        op_resize(m, file);
    else if (op < 60)
        op_punch(m, file);
    else if (op < 70 && other)
        op_clone(m, file, other);
    else if (op < 75)
        op_read(m, file);
    else if (op < 80)
        op_seek(m, file);
    else if (op < 84)
        (void)sfs_fs_flush(m->f.fs);
    else if (op < 88 && !sfs_fs_fsync(m->f.fs, file->ino)) {
        forget_history(file);
        synced(m);
    } else if (op < 90) {
        CHECK_OK(sfs_store_sync(m->f.store)); /* what is committed becomes durable, the data in memory does not */
        synced(m);
    } else if (op < 92)
        sync_all(m);
    else if (op < 95 && faults)
        op_fault(m);
    else if (op < 97 && crashes)
        crash(m);
    else if (op == 97 && !faults)
        fixture_reopen(&m->f), synced(m);
    m->ops++;
}

static void run(bool faults, bool crashes, uint64_t dirty_bytes, unsigned ops)
{
    struct model m;
    struct fake_options store = {.record = 16384, .row = 40960};
    memset(&m, 0, sizeof m);
    m.trace = getenv("TRACE") != NULL;
    fixture_begin(&m.f, &store);
    CHECK_OK(sfs_fs_close(m.f.fs));
    m.f.options.dirty_bytes = dirty_bytes;
    m.f.options.inode_cache = 2;
    CHECK_OK(sfs_fs_open(m.f.store, SFS_TREE_VOLUME, &m.f.options, &m.f.fs));
    CHECK_OK(sfs_fs_sync(m.f.fs));
    while (m.ops < ops && !test_state.wrong) {
        unsigned before = m.ops;
        step(&m, faults, crashes);
        m.ops += m.ops == before;
        if (m.ops % 16 == 0)
            compare_all(&m);
        if (m.ops % 128 == 0)
            fixture_check(&m.f);
    }
    if (test_state.wrong)
        printf("# in operation %u\n", m.ops);
    fake_store_fail_tx(m.f.store, 0, 0, 0);
    fake_store_fail_batch(m.f.store, 0, 0, 0);
    compare_all(&m);
    CHECK_OK(sfs_fs_sync(m.f.fs));
    compare_all(&m);
    memset(m.slots, 0, sizeof m.slots);
    synced(&m);
    fixture_end(&m.f);
}

static void like_the_model(void)
{
    run(false, false, 8u << 20, 4000);
}

static void like_the_model_with_little_memory(void)
{
    run(false, false, 60000, 4000);
}

static void like_the_model_with_refusals(void)
{
    run(true, false, 60000, 4000);
}

static void after_crashes(void)
{
    run(false, true, 200000, 3000);
}

static void after_crashes_and_refusals(void)
{
    run(true, true, 200000, 3000);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(like_the_model);
    RUN(like_the_model_with_little_memory);
    RUN(like_the_model_with_refusals);
    RUN(after_crashes);
    RUN(after_crashes_and_refusals);
    return TEST_END();
}
