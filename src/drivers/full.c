/* A full pool, told to those who write.
 *
 * With the kernel's write-back cache write(2) has succeeded long before a WRITE comes here, so that
 * its refusal for lack of room is heard at fsync or close at best: dd and cp would fill the cache again
 * and again until they are through with all they have. But on its way into the cache write(2) asks
 * whether the file has capabilities that must go (security.capability), and it fails when those can't
 * be taken away. So a file of which a WRITE was refused is remembered here, and the kernel is made to
 * doubt its attributes:
 *
 *   write(2) ──GETATTR of an open file──> asked ──GETXATTR──> "there are some" ──REMOVEXATTR──> ENOSPC
 *
 * A truncation asks for capabilities, too, and must always succeed; but not for the attributes of an
 * open file just before, so that it is not taken for a write. Once a writer was told, the rest of what it
 * had in the cache (refused as well) tells it nothing new for a while. Nothing is said when room has been
 * made meanwhile, or when nobody has written for some time.
 *
 * The kernel goes by its own idea of such a file's size until it has forgotten the file. It is made to forget it once nobody has
 * it open any more, so that the size shown is soon that of what was stored.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "drivers/driver.h"

enum { STILL_WRITING_MS = 3000, JUST_TOLD_MS = 1000, LET_GO_MS = 100, LET_GO_LATER_MS = 5000 };

/* From protocol 7.45 on; the headers of the distribution stop before. */
enum { NOTIFY_PRUNE = 9 };
struct notify_prune_out {
    uint32_t count, padding;
    uint64_t spare;
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t free_bytes(struct driver *d)
{
    struct scalefs_statfs s;
    return scalefs_statfs(d->fs, &s) ? 0 : s.free;
}

static bool outdated(const struct refused_file *r, uint64_t now)
{
    return !r->ino || now - r->since_ms > STILL_WRITING_MS;
}

/* Under the lock. NULL: nothing is known of it. */
static struct refused_file *find(struct driver *d, uint64_t ino)
{
    for (unsigned i = 0; i < DRIVER_REFUSED_FILES; i++)
        if (d->full.files[i].ino == ino)
            return &d->full.files[i];
    return NULL;
}

/* Under the lock. The oldest gives way: its writer hears it from close. */
static struct refused_file *place_for(struct driver *d, uint64_t ino)
{
    struct refused_file *r = find(d, ino), *oldest = &d->full.files[0];
    for (unsigned i = 1; i < DRIVER_REFUSED_FILES; i++)
        if (d->full.files[i].since_ms < oldest->since_ms)
            oldest = &d->full.files[i];
    if (r)
        return r;
    *oldest = (struct refused_file){.ino = ino};
    return oldest;
}

void sfs_drivers_full_note(struct driver *d, uint64_t ino)
{
    uint64_t now = now_ms(), room = free_bytes(d);
    pthread_mutex_lock(&d->full.lock);
    struct refused_file *r = place_for(d, ino);
    bool news = !(r->told && now - r->told_ms < JUST_TOLD_MS) && !(r->pending && !outdated(r, now));
    bool known = r->stale;
    r->pending |= news;
    r->stale = true;
    r->since_ms = now;
    r->room = room;
    atomic_store(&d->full.any, true);
    atomic_store(&d->full.stale, true);
    pthread_mutex_unlock(&d->full.lock);
    if (news || !known)
        sfs_drivers_ask_again(d, ino);
}

bool sfs_drivers_full_ask(struct driver *d, uint64_t ino, pid_t pid, enum full_question question)
{
    if (!atomic_load(&d->full.any))
        return false;
    uint64_t now = now_ms(), room = free_bytes(d);
    bool any = false, yes = false;
    pthread_mutex_lock(&d->full.lock);
    struct refused_file *r = find(d, ino);
    if (r && r->pending && !outdated(r, now) && room < r->room + DRIVER_MAX_TRANSFER) {
        yes = question == FULL_ATTRIBUTES || (r->asked && r->asker == pid);
        r->asked = yes && question != FULL_TELLING;
        r->asker = pid;
        if (yes && question == FULL_TELLING) {
            r->pending = false;
            r->told = true;
            r->told_ms = now;
        }
    }
    for (unsigned i = 0; i < DRIVER_REFUSED_FILES; i++)
        any |= !outdated(&d->full.files[i], now);
    atomic_store(&d->full.any, any);
    pthread_mutex_unlock(&d->full.lock);
    return yes;
}

/* The directory and the last name of one of the inode's paths. */
static int find_name(struct driver *d, uint64_t ino, char *path, size_t size, uint64_t *dir, char **name)
{
    struct scalefs_attr attr = {.ino = FUSE_ROOT_ID};
    int code = scalefs_path_of(d->fs, ino, path, size);
    *name = NULL;
    for (char *rest = path, *word; !code && (word = strsep(&rest, "/")) != NULL;) {
        if (!*word)
            continue;
        *dir = attr.ino;
        *name = word;
        code = scalefs_lookup(d->fs, *dir, word, strlen(word), &attr);
    }
    return code || !*name || attr.ino != ino ? SCALEFS_E_NOENT : SCALEFS_OK;
}

static void let_go(struct driver *d, uint64_t ino)
{
    struct notify_prune_out arg = {.count = 1};
    struct fuse_out_header out = {.len = sizeof out + sizeof arg + sizeof ino, .error = NOTIFY_PRUNE};
    struct iovec parts[] = {{&out, sizeof out}, {&arg, sizeof arg}, {&ino, sizeof ino}};
    if (!d->full.by_name && writev(d->fuse_fd, parts, 3) < 0 && errno == EINVAL)
        d->full.by_name = true;
    char path[4096], *name;
    uint64_t dir = FUSE_ROOT_ID;
    if (d->full.by_name && find_name(d, ino, path, sizeof path, &dir, &name) == SCALEFS_OK)
        (void)fuse_lowlevel_notify_inval_entry(d->session, dir, name, strlen(name));
}

unsigned sfs_drivers_full_let_go(struct driver *d)
{
    uint64_t inos[DRIVER_REFUSED_FILES], now = now_ms();
    unsigned count = 0, wait = 0;
    if (!atomic_load(&d->full.stale))
        return 0;
    pthread_mutex_lock(&d->full.lock);
    for (unsigned i = 0; i < DRIVER_REFUSED_FILES; i++) {
        const struct refused_file *r = &d->full.files[i];
        if (!r->ino || !r->stale)
            continue;
        inos[count++] = r->ino;
        if (!outdated(r, now))
            wait = LET_GO_MS;
    }
    if (!count)
        atomic_store(&d->full.stale, false);
    pthread_mutex_unlock(&d->full.lock);
    for (unsigned i = 0; i < count; i++)
        let_go(d, inos[i]);
    return count && !wait ? LET_GO_LATER_MS : wait;
}

void sfs_drivers_full_forgotten(struct driver *d, uint64_t ino)
{
    if (!atomic_load(&d->full.stale))
        return;
    pthread_mutex_lock(&d->full.lock);
    struct refused_file *r = find(d, ino);
    if (r)
        r->stale = false;
    pthread_mutex_unlock(&d->full.lock);
}
