/* Makes the pools of the golden images and reads them back, through the public library alone.
 *
 *   golden_tool make NAME FAILOVER OPTIMIZE BYTES DISK...   a new pool of files of that size
 *   golden_tool run DISK... < SCRIPT                        changes it: one command a line
 *   golden_tool dump FOLDER DISK...                         opens it read-only; prints what is in it,
 *                                                           one line a name; file data to FOLDER/<inode>
 *   golden_tool check DISK...                               the library's own complete check
 *
 * Words of a script are separated by one space; %xx stands for any byte. Promises: the first error ends
 * the program with status 1 and a line on stderr.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scalefs/fs.h"
#include "scalefs/pool.h"

#define CHUNK (1u << 20)
#define WORDS_MAX 8

static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("golden_tool: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void must(int error, const char *what)
{
    if (error)
        die("%s: %s", what, scalefs_error_text(error));
}

static void *get_memory(size_t bytes)
{
    void *p = malloc(bytes);
    if (!p)
        die("no memory");
    return p;
}

struct tool {
    struct scalefs_pool *pool;
    struct scalefs_fs *fs;
    uint8_t *buf; /* CHUNK bytes */
};

static void open_pool(struct tool *t, char **disks, int count, bool read_only)
{
    struct scalefs_open_options options = {.struct_bytes = sizeof options,
                                           .read_only = read_only,
                                           .degraded = true,
                                           .other_host = true,
                                           .commit_seconds = 3600};
    struct scalefs_error_info info = {0};
    int error = scalefs_pool_open(&options, disks[0], (const char *const *)disks, (size_t)count, &t->pool,
                                  &info);
    if (error)
        die("open: %s: %s", scalefs_error_text(error), info.text);
    must(scalefs_fs_get(t->pool, &t->fs), "volume");
    t->buf = get_memory(CHUNK);
}

/* The directory of a path, and its last name. */
static uint64_t parent_of(struct tool *t, const char *path, const char **name)
{
    uint64_t dir = SCALEFS_ROOT;
    for (;;) {
        const char *slash = strchr(path, '/');
        if (!slash) {
            *name = path;
            return dir;
        }
        struct scalefs_attr attr;
        must(scalefs_lookup(t->fs, dir, path, (size_t)(slash - path), &attr), path);
        dir = attr.ino;
        path = slash + 1;
    }
}

static int find(struct tool *t, const char *path, uint64_t *ino)
{
    if (!strcmp(path, ".")) {
        *ino = SCALEFS_ROOT;
        return SCALEFS_OK;
    }
    const char *name;
    uint64_t dir = parent_of(t, path, &name);
    struct scalefs_attr attr;
    int error = scalefs_lookup(t->fs, dir, name, strlen(name), &attr);
    *ino = attr.ino;
    return error;
}

static uint64_t inode_of(struct tool *t, const char *path)
{
    uint64_t ino;
    must(find(t, path, &ino), path);
    return ino;
}

static uint64_t make_node(struct tool *t, const char *path, uint32_t mode, uint32_t major, uint32_t minor)
{
    const char *name;
    uint64_t dir = parent_of(t, path, &name);
    struct scalefs_owner owner = {0, 0};
    struct scalefs_attr attr;
    must(scalefs_mknod(t->fs, dir, name, strlen(name), mode, major, minor, owner, &attr), path);
    return attr.ino;
}

/* put PATH OFFSET FILE: the bytes of FILE, into a file that is made when it is not there. */
static void put(struct tool *t, const char *path, uint64_t offset, const char *file)
{
    uint64_t ino;
    if (find(t, path, &ino))
        ino = make_node(t, path, SCALEFS_S_IFREG | 0644, 0, 0);
    FILE *f = fopen(file, "rb");
    if (!f)
        die("%s can't be read", file);
    for (size_t n; (n = fread(t->buf, 1, CHUNK, f)) > 0; offset += n)
        must(scalefs_write(t->fs, ino, offset, t->buf, n), path);
    fclose(f);
}

static void set_xattr(struct tool *t, const char *path, const char *name, const char *file)
{
    FILE *f = fopen(file, "rb");
    if (!f)
        die("%s can't be read", file);
    size_t n = fread(t->buf, 1, CHUNK, f);
    fclose(f);
    must(scalefs_setxattr(t->fs, inode_of(t, path), name, t->buf, n, 0), path);
}

static void two_names(struct tool *t, const char *verb, const char *a, const char *b)
{
    const char *from, *to;
    struct scalefs_attr attr;
    uint64_t from_dir = parent_of(t, a, &from), to_dir = parent_of(t, b, &to);
    if (!strcmp(verb, "rename")) {
        must(scalefs_rename(t->fs, from_dir, from, strlen(from), to_dir, to, strlen(to), 0), a);
    } else {
        must(scalefs_link(t->fs, inode_of(t, a), to_dir, to, strlen(to), &attr), b);
    }
}

/* attr PATH MODE UID GID MTIME_S MTIME_NS */
static void set_attr(struct tool *t, char **w)
{
    struct scalefs_attr v = {0}, got;
    v.mode = (uint32_t)strtoul(w[2], NULL, 8);
    v.uid = (uint32_t)strtoul(w[3], NULL, 10);
    v.gid = (uint32_t)strtoul(w[4], NULL, 10);
    v.mtime.s = strtoll(w[5], NULL, 10);
    v.mtime.ns = (uint32_t)strtoul(w[6], NULL, 10);
    uint64_t ino = inode_of(t, w[1]);
    must(scalefs_getattr(t->fs, ino, &got), w[1]);
    v.mode |= got.mode & SCALEFS_S_IFMT;
    must(scalefs_setattr(t->fs, ino, &v, SCALEFS_SET_MODE | SCALEFS_SET_UID | SCALEFS_SET_GID | SCALEFS_SET_MTIME,
                         &got),
         w[1]);
}

static uint64_t number(const char *word)
{
    return strtoull(word, NULL, 10);
}

static void clone(struct tool *t, const char *from, const char *to)
{
    uint64_t a = inode_of(t, from), b = make_node(t, to, SCALEFS_S_IFREG | 0644, 0, 0), done = 0;
    struct scalefs_attr attr;
    must(scalefs_getattr(t->fs, a, &attr), from);
    for (uint64_t at = 0; at < attr.size; at += done) {
        must(scalefs_copy_range(t->fs, a, at, b, at, attr.size - at, &done), to);
        if (!done)
            die("%s: nothing was cloned at %" PRIu64, from, at);
    }
}

static void remove_name(struct tool *t, const char *path)
{
    const char *name;
    uint64_t dir = parent_of(t, path, &name);
    must(scalefs_unlink(t->fs, dir, name, strlen(name)), path);
}

static void make_symlink(struct tool *t, const char *path, const char *target)
{
    const char *name;
    uint64_t dir = parent_of(t, path, &name);
    struct scalefs_owner owner = {0, 0};
    struct scalefs_attr attr;
    must(scalefs_symlink(t->fs, dir, name, strlen(name), target, strlen(target), owner, &attr), path);
}

static void one_command(struct tool *t, char **w, int n)
{
    struct scalefs_error_info info = {0};
    struct scalefs_attr v = {0}, got;
    if (!strcmp(w[0], "put") && n == 4)
        put(t, w[1], number(w[2]), w[3]);
    else if (!strcmp(w[0], "node") && n == 5) /* PATH MODE MAJOR MINOR */
        make_node(t, w[1], (uint32_t)strtoul(w[2], NULL, 8), (uint32_t)number(w[3]), (uint32_t)number(w[4]));
    else if (!strcmp(w[0], "symlink") && n == 3)
        make_symlink(t, w[1], w[2]);
    else if ((!strcmp(w[0], "rename") || !strcmp(w[0], "link")) && n == 3)
        two_names(t, w[0], w[1], w[2]);
    else if (!strcmp(w[0], "unlink") && n == 2)
        remove_name(t, w[1]);
    else if (!strcmp(w[0], "xattr") && n == 4)
        set_xattr(t, w[1], w[2], w[3]);
    else if (!strcmp(w[0], "attr") && n == 7)
        set_attr(t, w);
    else if (!strcmp(w[0], "clone") && n == 3)
        clone(t, w[1], w[2]);
    else if (!strcmp(w[0], "punch") && n == 4)
        must(scalefs_fallocate(t->fs, inode_of(t, w[1]), SCALEFS_FALLOC_KEEP_SIZE | SCALEFS_FALLOC_PUNCH_HOLE,
                               number(w[2]), number(w[3])),
             w[1]);
    else if (!strcmp(w[0], "size") && n == 3) {
        v.size = number(w[2]);
        must(scalefs_setattr(t->fs, inode_of(t, w[1]), &v, SCALEFS_SET_SIZE, &got), w[1]);
    } else if (!strcmp(w[0], "fsync") && n == 2)
        must(scalefs_fsync(t->fs, inode_of(t, w[1])), w[1]);
    else if (!strcmp(w[0], "sync") && n == 1)
        must(scalefs_pool_sync(t->pool), "sync");
    else if (!strcmp(w[0], "wait") && n == 1)
        must(scalefs_pool_wait(t->pool, NULL, NULL, NULL), "wait");
    else if (!strcmp(w[0], "crash") && n == 1)
        _Exit(0);
    else if (!strcmp(w[0], "replace") && n == 4) /* DISK PATH BYTES */
        must(scalefs_pool_replace(t->pool, w[1], w[2], number(w[3]), false, &info), info.text);
    else if (!strcmp(w[0], "set") && n == 3)
        must(scalefs_pool_set(t->pool, w[1], w[2], &info), info.text);
    else
        die("no such command: %s with %d words", w[0], n);
}

static void decode_percent(char *s)
{
    char *out = s;
    for (; *s; s++) {
        unsigned byte;
        if (*s == '%' && sscanf(s + 1, "%2x", &byte) == 1) {
            *out++ = (char)byte;
            s += 2;
        } else {
            *out++ = *s;
        }
    }
    *out = 0;
}

static void run_script(struct tool *t, FILE *in)
{
    static char line[16384];
    while (fgets(line, sizeof line, in)) {
        line[strcspn(line, "\n")] = 0;
        char *words[WORDS_MAX];
        int n = 0;
        for (char *w = strtok(line, " "); w && n < WORDS_MAX; w = strtok(NULL, " ")) {
            decode_percent(w);
            words[n++] = w;
        }
        if (n)
            one_command(t, words, n);
    }
}

static void print_hex(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("%02x", (unsigned char)bytes[i]);
}

static void save(struct tool *t, const char *name, const struct scalefs_attr *attr)
{
    FILE *f = fopen(name, "wb");
    if (!f)
        die("%s can't be written", name);
    uint64_t at = 0;
    while (at < attr->size) {
        /* Holes stay holes: files of this test may be much larger than their data. */
        uint64_t data;
        if (scalefs_seek(t->fs, attr->ino, at, false, &data))
            break;
        size_t done;
        must(scalefs_read(t->fs, attr->ino, data, t->buf, CHUNK, &done), name);
        if (!done)
            break;
        if (fseeko(f, (off_t)data, SEEK_SET) || fwrite(t->buf, 1, done, f) != done)
            die("%s can't be written", name);
        at = data + done;
    }
    if (fclose(f))
        die("%s can't be written", name);
}

struct listing {
    struct tool *t;
    const char *folder;
    struct name {
        struct name *next;
        struct scalefs_attr attr;
        size_t len;
        char path[4096];
    } *todo;
    struct name *dir;
};

static void print_xattrs(struct tool *t, uint64_t ino)
{
    static char list[65536];
    size_t len = 0, value_len;
    must(scalefs_listxattr(t->fs, ino, list, sizeof list, &len), "list of attributes");
    for (size_t at = 0; at < len; at += strlen(list + at) + 1) {
        must(scalefs_getxattr(t->fs, ino, list + at, t->buf, CHUNK, &value_len), list + at);
        putchar('\t');
        print_hex(list + at, strlen(list + at));
        putchar('=');
        print_hex((const char *)t->buf, value_len);
    }
}

/* hex(path) inode mode links uid gid size mtime_s mtime_ns major minor hex(target) [xattrs] */
static void print_name(struct listing *l, const struct name *n)
{
    static char target[4097];
    size_t target_len = 0;
    const struct scalefs_attr *a = &n->attr;
    uint32_t type = a->mode & SCALEFS_S_IFMT;
    if (type == SCALEFS_S_IFLNK)
        must(scalefs_readlink(l->t->fs, a->ino, target, sizeof target, &target_len), n->path);
    if (type == SCALEFS_S_IFREG) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%" PRIu64, l->folder, a->ino);
        save(l->t, file, a);
    }
    print_hex(n->path, n->len);
    printf("\t%" PRIu64 "\t%" PRIo32 "\t%" PRIu32 "\t%" PRIu32 "\t%" PRIu32 "\t%" PRIu64 "\t%" PRId64
           "\t%" PRIu32 "\t%" PRIu32 "\t%" PRIu32 "\t",
           a->ino, a->mode, a->links, a->uid, a->gid, a->size, a->mtime.s, a->mtime.ns, a->rdev_major,
           a->rdev_minor);
    print_hex(target, target_len);
    print_xattrs(l->t, a->ino);
    putchar('\n');
}

static bool remember(void *context, const struct scalefs_dirent *entry)
{
    struct listing *l = context;
    struct name *n = get_memory(sizeof *n);
    n->attr = *entry->attr;
    n->len = (size_t)snprintf(n->path, sizeof n->path, "%s%s%.*s", l->dir->path, l->dir->len ? "/" : "",
                              (int)entry->name_len, entry->name);
    n->next = l->todo;
    l->todo = n;
    return true;
}

static void dump(struct tool *t, const char *folder)
{
    struct listing l = {.t = t, .folder = folder};
    l.todo = get_memory(sizeof *l.todo);
    memset(l.todo, 0, sizeof *l.todo);
    must(scalefs_getattr(t->fs, SCALEFS_ROOT, &l.todo->attr), "root");
    while (l.todo) {
        struct name *n = l.todo;
        l.todo = n->next;
        print_name(&l, n);
        l.dir = n;
        if ((n->attr.mode & SCALEFS_S_IFMT) == SCALEFS_S_IFDIR)
            must(scalefs_readdir(t->fs, n->attr.ino, 0, true, remember, &l), n->path);
        free(n);
    }
}

static void print_problem(void *context, const char *text)
{
    (void)context;
    printf("problem: %s\n", text);
}

static int check(char **disks, int count)
{
    struct scalefs_check_report report = {0};
    struct scalefs_error_info info = {0};
    int error = scalefs_pool_check(disks[0], (const char *const *)disks, (size_t)count, print_problem, NULL, &report,
                                   &info);
    if (error)
        die("check: %s: %s", scalefs_error_text(error), info.text);
    printf("%" PRIu64 " problems, %" PRIu64 " repairable, %" PRIu64 " files, %" PRIu64 " directories\n",
           report.problems, report.repairable, report.files, report.directories);
    return 0;
}

static int make(char **w, int count)
{
    struct scalefs_create_options options = {.struct_bytes = sizeof options,
                                             .name = w[0],
                                             .failover = (unsigned)number(w[1]),
                                             .optimize = (unsigned)number(w[2]),
                                             .file_bytes = number(w[3])};
    struct scalefs_error_info info = {0};
    int error = scalefs_pool_create(&options, (const char *const *)(w + 4), (size_t)count - 4, NULL, &info);
    if (error)
        die("create: %s: %s", scalefs_error_text(error), info.text);
    return 0;
}

int main(int argc, char **argv)
{
    struct tool t = {0};
    if (argc >= 7 && !strcmp(argv[1], "make"))
        return make(argv + 2, argc - 2);
    if (argc >= 3 && !strcmp(argv[1], "check"))
        return check(argv + 2, argc - 2);
    if (argc >= 3 && !strcmp(argv[1], "run")) {
        open_pool(&t, argv + 2, argc - 2, false);
        run_script(&t, stdin);
    } else if (argc >= 4 && !strcmp(argv[1], "dump")) {
        open_pool(&t, argv + 3, argc - 3, true);
        dump(&t, argv[2]);
    } else {
        die("usage: make | run | dump | check");
    }
    free(t.buf);
    must(scalefs_pool_close(t.pool, false), "close");
    return 0;
}
