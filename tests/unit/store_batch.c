/* A batch of which one write failed has failed, whichever write it was and however many came after it. */
#include "care_fixture.h"

enum { RECORD = 128 * 1024, RECORDS = 40 };

/* The backing file of one disk has no room at one write: nobody goes offline, and the row is not written. */
static const struct sfs_disk_ops *good_ops;
static unsigned writes_before;
static bool failed;

static void submit_once_full(struct sfs_disk *disk, struct sfs_io *io)
{
    bool fails = io->op == SFS_IO_WRITE && !failed && !writes_before;
    if (io->op == SFS_IO_WRITE && writes_before)
        writes_before--;
    failed = failed || fails;
    if (fails)
        sfs_io_complete(io, SCALEFS_E_BACKING_FULL);
    else
        good_ops->submit(disk, io);
}

static int write_records(struct world *w, struct sfs_store *s, bool pad)
{
    uint8_t *bytes = sfs_zalloc(w->env, RECORD);
    NEED(w, bytes != NULL);
    struct sfs_batch *batch;
    MUST(w, sfs_batch_begin(s, 0, &batch));
    if (pad)
        sfs_batch_pad(batch);
    int err = SCALEFS_OK;
    for (unsigned n = 0; n < RECORDS && !err; n++) {
        uint32_t raw;
        sfs_random(w->env, bytes, RECORD); /* nothing to compress */
        for (uint32_t at = 0; at < RECORD && !err; at += raw)
            err = sfs_batch_add(batch, bytes, RECORD - at, TREE, 1000, at, &raw);
    }
    size_t kept;
    const struct sfs_piece *pieces;
    int ended = sfs_batch_end(batch, false, &kept, &pieces);
    NEED(w, !err || ended == err);
    NEED(w, !ended || !kept);
    sfs_batch_free(batch);
    sfs_free(w->env, bytes);
    return ended;
}

static void fail_each(struct world *w, void *arg)
{
    (void)arg;
    make_pool(w, 1, 0);
    struct sfs_store *s = open_store(w, ALL_DISKS, false);
    struct sfs_disk *disk = s->pool->members[0].disk;
    struct sfs_disk_ops ops = *disk->ops;
    unsigned failures = 0;
    good_ops = disk->ops;
    ops.submit = submit_once_full;
    for (unsigned pad = 0; pad < 2; pad++) {
        for (unsigned n = 0;; n++) {
            writes_before = n;
            failed = false;
            disk->ops = &ops;
            int err = write_records(w, s, pad);
            disk->ops = good_ops;
            if (err != (failed ? SCALEFS_E_BACKING_FULL : SCALEFS_OK))
                sim_fail(w->sim, "write %u failed, and the batch ended with %s", n, scalefs_error_name(err));
            if (!failed)
                break;
            failures++;
        }
    }
    NEED(w, failures > 16); /* more rows than are in flight at once */
    sync_and_close(w, s);
}

static void no_failed_write_is_forgotten(void)
{
    struct world w;
    world_init(&w, test_seed());
    add_disks(&w, 4, 64 * MIB);
    live(&w, fail_each, NULL);
    world_deinit(&w);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(no_failed_write_is_forgotten);
    return TEST_END();
}
