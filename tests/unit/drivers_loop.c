/* The workers of a mount, with a kernel and a file system that are pretended: what they give back before they count as gone. */
#include "drivers/driver.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "test.h"

/* What the kernel says, one after the other; then that the mount is gone. */
static struct {
    struct driver *driver;
    const int *says;
    atomic_uint asked, served, had, kept, given_back, late;
    unsigned count;
    bool no_memory;
} world;

int fuse_session_receive_buf(struct fuse_session *session, struct fuse_buf *buf)
{
    (void)session;
    unsigned n = atomic_fetch_add(&world.asked, 1);
    int says = n < world.count ? world.says[n] : 0;
    if (says <= 0)
        return says;
    memset(buf->mem, 0, sizeof(struct fuse_in_header));
    buf->size = (size_t)says;
    return says;
}

void fuse_session_process_buf(struct fuse_session *session, const struct fuse_buf *buf)
{
    (void)session;
    (void)buf;
}

/* Every other request keeps its memory. */
bool sfs_drivers_raw(struct worker *w)
{
    if (atomic_fetch_add(&world.served, 1) % 2 && w->given) {
        atomic_fetch_add(&world.kept, 1);
        free(w->given);
        w->given = NULL;
    }
    return true;
}

void *scalefs_memory_get(struct scalefs_fs *fs)
{
    (void)fs;
    atomic_fetch_add(&world.had, !world.no_memory);
    return world.no_memory ? NULL : malloc(SCALEFS_KEEP_MEMORY);
}

/* Under the driver's lock, as its workers count. */
void scalefs_memory_put(struct scalefs_fs *fs, void *memory)
{
    (void)fs;
    if (!memory)
        return;
    atomic_fetch_add(&world.given_back, 1);
    atomic_fetch_add(&world.late, world.driver->workers == 0); /* the file system may be closed */
    free(memory);
}

static void on_signal(int number)
{
    (void)number;
}

static void run(const int *says, unsigned count, bool no_memory)
{
    struct driver d = {.idle_fd = eventfd(0, 0)};
    memset(&world, 0, sizeof world);
    world.driver = &d;
    world.says = says;
    world.count = count;
    world.no_memory = no_memory;
    signal(SIGUSR1, on_signal);
    pthread_mutex_init(&d.lock, NULL);
    pthread_cond_init(&d.let_in, NULL);
    CHECK_OK(sfs_drivers_loop_start(&d));
    uint64_t gone;
    CHECK_EQ(read(d.idle_fd, &gone, sizeof gone), sizeof gone);
    sfs_drivers_loop_stop(&d);
    close(d.idle_fd);
    pthread_cond_destroy(&d.let_in);
    pthread_mutex_destroy(&d.lock);
}

static const int some[] = {100, 100, -EINTR, 100, 100, 100, -EAGAIN, 100};

static void memory_goes_back_first(void)
{
    run(some, sizeof some / sizeof *some, false);
    CHECK_EQ(world.served, 6);
    CHECK(world.had > 0);
    CHECK_EQ(world.kept + world.given_back, world.had);
    CHECK_EQ(world.late, 0);
}

static void workers_have_their_own(void)
{
    run(some, sizeof some / sizeof *some, true);
    CHECK_EQ(world.served, 6);
    CHECK_EQ(world.given_back, 0);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(memory_goes_back_first);
    RUN(workers_have_their_own);
    return TEST_END();
}
