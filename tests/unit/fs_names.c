/* Names: made, found, listed, renamed, linked, taken away; what is deleted when; attributes. */
#include "fs_fixture.h"

static void made_and_found(void)
{
    struct fixture f;
    fixture_begin(&f, NULL);
    uint64_t d = make_dir(&f, ROOT, "d"), a = make_file(&f, d, "a");
    CHECK_EQ(find(&f, ROOT, "d"), d);
    CHECK_EQ(find(&f, d, "a"), a);
    CHECK_EQ(find(&f, d, "b"), 0);
    CHECK_EQ(find(&f, d, "."), d);
    CHECK_EQ(find(&f, d, ".."), ROOT);
    CHECK_EQ(find(&f, a, "."), a);
    struct scalefs_attr attr = attr_of(&f, d);
    CHECK_EQ(attr.links, 2);
    CHECK_EQ(attr.uid, 1000);
    CHECK_EQ(attr.mode, SCALEFS_S_IFDIR | 0755);
    CHECK_EQ(attr_of(&f, ROOT).links, 3);
    CHECK_EQ(sfs_fs_lookup(f.fs, a, "x", 1, &attr), SCALEFS_E_NOTDIR);
    CHECK_EQ(sfs_fs_mknod(f.fs, d, "a", 1, SCALEFS_S_IFREG, 0, 0, owner, &attr), SCALEFS_E_EXIST);
    CHECK_EQ(sfs_fs_mknod(f.fs, d, "..", 2, SCALEFS_S_IFREG, 0, 0, owner, &attr), SCALEFS_E_EXIST);
    CHECK_EQ(sfs_fs_mknod(f.fs, d, "a/b", 3, SCALEFS_S_IFREG, 0, 0, owner, &attr), SCALEFS_E_INVAL);
    CHECK_EQ(sfs_fs_mknod(f.fs, d, "x", 1, 0644, 0, 0, owner, &attr), SCALEFS_E_INVAL);
    char longest[257];
    memset(longest, 'n', sizeof longest);
    CHECK_EQ(sfs_fs_mknod(f.fs, d, longest, 256, SCALEFS_S_IFREG, 0, 0, owner, &attr), SCALEFS_E_NAMETOOLONG);
    CHECK_OK(sfs_fs_mknod(f.fs, d, longest, 255, SCALEFS_S_IFCHR | 0600, 5, 7, owner, &attr));
    CHECK_EQ(attr.rdev_major, 5);
    CHECK_EQ(attr.rdev_minor, 7);
    fixture_reopen(&f);
    CHECK_OK(sfs_fs_lookup(f.fs, d, longest, 255, &attr));
    CHECK_EQ(attr.rdev_minor, 7);
    CHECK_EQ(find(&f, d, "a"), a);
    char path[64];
    CHECK_OK(sfs_fs_path_of(f.fs, a, path, sizeof path));
    CHECK_STR(path, "/d/a");
    CHECK_OK(sfs_fs_path_of(f.fs, ROOT, path, sizeof path));
    CHECK_STR(path, "/");
    CHECK_EQ(sfs_fs_path_of(f.fs, a, path, 4), SCALEFS_E_RANGE);
    fixture_end(&f);
}

static void a_set_gid_directory_hands_on_its_group(void)
{
    struct fixture f;
    struct scalefs_attr a, set = {.mode = 02775, .gid = 77};
    fixture_begin(&f, NULL);
    uint64_t d = make_dir(&f, ROOT, "d");
    CHECK_OK(sfs_fs_setattr(f.fs, d, &set, SCALEFS_SET_MODE | SCALEFS_SET_GID, &a));
    uint64_t sub = make_dir(&f, d, "sub"), file = make_file(&f, d, "file");
    CHECK_EQ(attr_of(&f, sub).gid, 77);
    CHECK_EQ(attr_of(&f, sub).mode, SCALEFS_S_IFDIR | 02755);
    CHECK_EQ(attr_of(&f, file).gid, 77);
    CHECK_EQ(attr_of(&f, file).mode, SCALEFS_S_IFREG | 0644);
    fixture_end(&f);
}

static void taken_away(void)
{
    struct fixture f;
    struct scalefs_attr a;
    fixture_begin(&f, NULL);
    uint64_t d = make_dir(&f, ROOT, "d"), file = make_file(&f, d, "file");
    put_text(&f, file, 0, "text");
    CHECK_EQ(sfs_fs_rmdir(f.fs, ROOT, "d", 1), SCALEFS_E_NOTEMPTY);
    CHECK_EQ(unlink_name(&f, ROOT, "d"), SCALEFS_E_ISDIR);
    CHECK_EQ(sfs_fs_rmdir(f.fs, d, "file", 4), SCALEFS_E_NOTDIR);
    CHECK_EQ(unlink_name(&f, d, "nothing"), SCALEFS_E_NOENT);
    CHECK_EQ(sfs_fs_rmdir(f.fs, d, ".", 1), SCALEFS_E_INVAL);
    CHECK_OK(unlink_name(&f, d, "file"));
    CHECK_EQ(sfs_fs_getattr(f.fs, file, &a), SCALEFS_E_STALE);
    CHECK_EQ(sfs_fs_hold(f.fs, file), SCALEFS_E_STALE);
    CHECK_OK(sfs_fs_hold(f.fs, d));
    CHECK_OK(sfs_fs_rmdir(f.fs, ROOT, "d", 1));
    /* A removed directory that somebody still has takes nothing in. */
    CHECK_EQ(sfs_fs_mknod(f.fs, d, "x", 1, SCALEFS_S_IFREG, 0, 0, owner, &a), SCALEFS_E_NOENT);
    CHECK_EQ(attr_of(&f, d).links, 0);
    sfs_fs_release_hold(f.fs, d, 1);
    CHECK_EQ(sfs_fs_getattr(f.fs, d, &a), SCALEFS_E_STALE);
    CHECK_EQ(attr_of(&f, ROOT).links, 2);
    CHECK_EQ(attr_of(&f, ROOT).size, 0);
    fixture_end(&f);
}

static void held_files_live_on(void)
{
    struct fixture f;
    struct scalefs_attr a;
    struct fake_stats stats;
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "file");
    CHECK_OK(sfs_fs_hold(f.fs, file));
    CHECK_OK(sfs_fs_hold(f.fs, file));
    put_text(&f, file, 0, "before");
    CHECK_OK(unlink_name(&f, ROOT, "file"));
    CHECK_EQ(find(&f, ROOT, "file"), 0);
    put_text(&f, file, 6, " and after");
    CHECK_OK(sfs_fs_fsync(f.fs, file));
    CHECK(has_text(&f, file, 0, "before and after"));
    fixture_check(&f);
    sfs_fs_release_hold(f.fs, file, 1);
    CHECK(has_text(&f, file, 0, "before and after"));
    sfs_fs_release_hold(f.fs, file, 1);
    CHECK_EQ(sfs_fs_getattr(f.fs, file, &a), SCALEFS_E_STALE);
    fake_store_stats(f.store, &stats);
    CHECK_EQ(stats.live_extents, 0);
    fixture_end(&f);
}

static void orphans_are_deleted_after_a_crash(void)
{
    struct fixture f;
    struct fake_stats stats;
    struct scalefs_attr a;
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "file");
    put_text(&f, file, 0, "text");
    CHECK_OK(sfs_fs_hold(f.fs, file));
    CHECK_OK(unlink_name(&f, ROOT, "file"));
    CHECK_OK(sfs_fs_tmpfile(f.fs, ROOT, 0600, owner, &a));
    put_text(&f, a.ino, 0, "more text");
    CHECK_OK(sfs_fs_sync(f.fs));
    fake_store_stats(f.store, &stats);
    CHECK_EQ(stats.live_extents, 2);
    fixture_crash(&f);
    fake_store_stats(f.store, &stats);
    CHECK_EQ(stats.live_extents, 0);
    CHECK_EQ(sfs_fs_getattr(f.fs, file, &a), SCALEFS_E_STALE);
    fixture_end(&f);
}

static void nameless_files_get_a_name(void)
{
    struct fixture f;
    struct scalefs_attr a, b;
    fixture_begin(&f, NULL);
    CHECK_OK(sfs_fs_tmpfile(f.fs, ROOT, 0600, owner, &a));
    CHECK_EQ(a.links, 0);
    put_text(&f, a.ino, 0, "text");
    fixture_check(&f);
    CHECK_OK(sfs_fs_link(f.fs, a.ino, ROOT, "named", 5, &b));
    CHECK_EQ(b.links, 1);
    sfs_fs_release_hold(f.fs, a.ino, 1);
    fixture_reopen(&f);
    CHECK_EQ(find(&f, ROOT, "named"), a.ino);
    CHECK(has_text(&f, a.ino, 0, "text"));
    CHECK_OK(sfs_fs_tmpfile(f.fs, ROOT, 0600, owner, &a)); /* and one that gets none */
    sfs_fs_release_hold(f.fs, a.ino, 1);
    CHECK_EQ(sfs_fs_getattr(f.fs, a.ino, &a), SCALEFS_E_STALE);
    fixture_end(&f);
}

static void links(void)
{
    struct fixture f;
    struct scalefs_attr a;
    fixture_begin(&f, NULL);
    uint64_t d = make_dir(&f, ROOT, "d"), file = make_file(&f, ROOT, "one");
    CHECK_OK(sfs_fs_link(f.fs, file, d, "two", 3, &a));
    CHECK_EQ(a.links, 2);
    CHECK_EQ(sfs_fs_link(f.fs, file, d, "two", 3, &a), SCALEFS_E_EXIST);
    CHECK_EQ(sfs_fs_link(f.fs, d, ROOT, "e", 1, &a), SCALEFS_E_PERM);
    CHECK_EQ(sfs_fs_link(f.fs, file, file, "x", 1, &a), SCALEFS_E_PERM);
    put_text(&f, file, 0, "shared");
    CHECK_OK(unlink_name(&f, ROOT, "one"));
    CHECK_EQ(attr_of(&f, file).links, 1);
    fixture_reopen(&f);
    CHECK(has_text(&f, find(&f, d, "two"), 0, "shared"));
    /* An unlinked file that is still open cannot be given a name again. */
    CHECK_OK(sfs_fs_hold(f.fs, file));
    CHECK_OK(unlink_name(&f, d, "two"));
    CHECK_EQ(sfs_fs_link(f.fs, file, d, "again", 5, &a), SCALEFS_E_NOENT);
    sfs_fs_release_hold(f.fs, file, 1);
    fixture_end(&f);
}

static void symbolic_links(void)
{
    struct fixture f;
    struct scalefs_attr a;
    char target[4096], got[4096];
    size_t len;
    fixture_begin(&f, NULL);
    memset(target, 't', sizeof target);
    CHECK_OK(sfs_fs_symlink(f.fs, ROOT, "s", 1, target, 4095, owner, &a));
    CHECK_EQ(a.size, 4095);
    CHECK_EQ(a.mode, SCALEFS_S_IFLNK | 0777);
    CHECK_EQ(sfs_fs_symlink(f.fs, ROOT, "t", 1, target, 4096, owner, &a), SCALEFS_E_NAMETOOLONG);
    CHECK_EQ(sfs_fs_symlink(f.fs, ROOT, "t", 1, target, 0, owner, &a), SCALEFS_E_INVAL);
    fixture_reopen(&f);
    uint64_t s = find(&f, ROOT, "s");
    CHECK_OK(sfs_fs_readlink(f.fs, s, got, sizeof got, &len));
    CHECK_EQ(len, 4095);
    CHECK_MEM(got, target, 4095);
    CHECK_OK(sfs_fs_readlink(f.fs, s, got, 10, &len));
    CHECK_EQ(len, 10);
    CHECK_EQ(sfs_fs_readlink(f.fs, ROOT, got, 10, &len), SCALEFS_E_INVAL);
    CHECK_OK(unlink_name(&f, ROOT, "s"));
    fixture_end(&f);
}

/* --- rename ---------------------------------------------------------------------------------------------------- */

/* Every combination of what stands at the two names, in one directory and across two, with each flag. */
enum what { NOTHING, A_FILE, EMPTY_DIR, FULL_DIR, SAME, WHATS };

static uint64_t put_what(struct fixture *f, uint64_t dir, const char *name, enum what what)
{
    switch (what) {
    case A_FILE:
        return make_file(f, dir, name);
    case EMPTY_DIR:
        return make_dir(f, dir, name);
    case FULL_DIR: {
        uint64_t d = make_dir(f, dir, name);
        make_file(f, d, "in it");
        return d;
    }
    default:
        return 0;
    }
}

static int expected(enum what from, enum what to, unsigned flags)
{
    if (from == NOTHING)
        return SCALEFS_E_NOENT;
    if (flags == SCALEFS_RENAME_NOREPLACE)
        return to == NOTHING ? SCALEFS_OK : SCALEFS_E_EXIST;
    if (flags == SCALEFS_RENAME_EXCHANGE)
        return to == NOTHING ? SCALEFS_E_NOENT : SCALEFS_OK;
    bool from_dir = from != A_FILE, to_dir = to == EMPTY_DIR || to == FULL_DIR;
    if (to == NOTHING || to == SAME)
        return SCALEFS_OK;
    if (from_dir != to_dir)
        return from_dir ? SCALEFS_E_NOTDIR : SCALEFS_E_ISDIR;
    return to == FULL_DIR ? SCALEFS_E_NOTEMPTY : SCALEFS_OK;
}

static void try_rename(enum what from, enum what to, bool across, unsigned flags)
{
    struct fixture f;
    struct scalefs_attr a;
    fixture_begin(&f, NULL);
    uint64_t d = make_dir(&f, ROOT, "d"), e = across ? make_dir(&f, ROOT, "e") : d;
    uint64_t x = put_what(&f, d, "x", from), y = put_what(&f, e, "y", to);
    if (to == SAME) {
        if (from != A_FILE) /* only files have two names */
            goto out;
        CHECK_OK(sfs_fs_link(f.fs, x, e, "y", 1, &a));
        y = x;
    }
    int want = expected(from, to, flags), got = rename_name(&f, d, "x", e, "y", flags);
    if (!CHECK_EQ(got, want))
        printf("#   from %d to %d across %d flags %u\n", from, to, across, flags);
    uint64_t now_x = find(&f, d, "x"), now_y = find(&f, e, "y");
    if (got || to == SAME) {
        CHECK_EQ(now_x, x);
        CHECK_EQ(now_y, y);
    } else if (flags == SCALEFS_RENAME_EXCHANGE) {
        CHECK_EQ(now_x, y);
        CHECK_EQ(now_y, x);
    } else {
        CHECK_EQ(now_x, 0);
        CHECK_EQ(now_y, x);
        if (y)
            CHECK_EQ(sfs_fs_getattr(f.fs, y, &a), SCALEFS_E_STALE);
    }
    uint64_t parent;
    if (!got && from != A_FILE && to != SAME) {
        CHECK_OK(sfs_fs_parent(f.fs, x, &parent));
        CHECK_EQ(parent, e);
    }
    fixture_check(&f);
    fixture_reopen(&f);
    CHECK_EQ(find(&f, e, "y"), now_y);
out:
    fixture_end(&f);
}

static void rename_matrix(void)
{
    const unsigned flags[] = {0, SCALEFS_RENAME_NOREPLACE, SCALEFS_RENAME_EXCHANGE};
    for (unsigned from = 0; from < SAME; from++)
        for (unsigned to = 0; to < WHATS; to++)
            for (unsigned across = 0; across < 2; across++)
                for (unsigned i = 0; i < 3; i++)
                    try_rename((enum what)from, (enum what)to, across, flags[i]);
}

static void rename_never_makes_a_loop(void)
{
    struct fixture f;
    fixture_begin(&f, NULL);
    uint64_t a = make_dir(&f, ROOT, "a"), b = make_dir(&f, a, "b"), c = make_dir(&f, b, "c");
    make_dir(&f, ROOT, "other");
    CHECK_EQ(rename_name(&f, ROOT, "a", a, "x", 0), SCALEFS_E_INVAL);
    CHECK_EQ(rename_name(&f, ROOT, "a", c, "x", 0), SCALEFS_E_INVAL);
    CHECK_EQ(rename_name(&f, ROOT, "a", b, "c", SCALEFS_RENAME_EXCHANGE), SCALEFS_E_INVAL);
    CHECK_EQ(rename_name(&f, b, "c", ROOT, "a", SCALEFS_RENAME_EXCHANGE), SCALEFS_E_INVAL);
    CHECK_EQ(rename_name(&f, b, "c", ROOT, "a", 0), SCALEFS_E_NOTEMPTY);
    CHECK_EQ(rename_name(&f, ROOT, "a", ROOT, "..", 0), SCALEFS_E_BUSY);
    CHECK_EQ(rename_name(&f, ROOT, "a", ROOT, "z", 3), SCALEFS_E_INVAL);
    CHECK_OK(rename_name(&f, b, "c", ROOT, "c", 0));
    CHECK_OK(rename_name(&f, ROOT, "a", c, "a", 0)); /* now that is no loop */
    CHECK_EQ(find(&f, c, "a"), a);
    fixture_end(&f);
}

static void a_new_version_renamed_over_the_old_one_survives(void)
{
    struct fixture f;
    fixture_begin(&f, NULL);
    uint64_t old = make_file(&f, ROOT, "file");
    put_text(&f, old, 0, "old version");
    CHECK_OK(sfs_fs_sync(f.fs));
    uint64_t fresh = make_file(&f, ROOT, "file.new");
    put_text(&f, fresh, 0, "new version");
    CHECK_OK(rename_name(&f, ROOT, "file.new", ROOT, "file", 0));
    CHECK_OK(sfs_store_sync(f.store)); /* a checkpoint comes; nobody asked for the data */
    fixture_crash(&f);
    CHECK(has_text(&f, find(&f, ROOT, "file"), 0, "new version"));
    fixture_end(&f);
}

/* --- many entries ------------------------------------------------------------------------------------------------- */

#define MANY 100000u

struct counting {
    uint8_t *seen;
    uint64_t count, last_cookie, limit;
    bool twice, disorder;
};

static bool count_entry(void *context, const struct scalefs_dirent *entry)
{
    struct counting *c = context;
    unsigned number;
    char name[32];
    if (c->limit && c->count == c->limit)
        return false;
    snprintf(name, sizeof name, "%.*s", (int)entry->name_len, entry->name);
    if (entry->cookie <= c->last_cookie)
        c->disorder = true;
    c->last_cookie = entry->cookie;
    c->count++;
    if (sscanf(name, "entry-%u", &number) == 1 && number < MANY) {
        c->twice |= c->seen[number];
        c->seen[number] = 1;
    }
    return true;
}

static void a_hundred_thousand_entries(void)
{
    struct fixture f;
    struct scalefs_attr a;
    char name[32];
    fixture_begin(&f, NULL);
    uint64_t d = make_dir(&f, ROOT, "d");
    for (unsigned i = 0; i < MANY; i++) {
        int len = snprintf(name, sizeof name, "entry-%u", i);
        if (!CHECK_OK(sfs_fs_mknod(f.fs, d, name, (size_t)len, SCALEFS_S_IFREG | 0600, 0, 0, owner, &a)))
            break;
    }
    CHECK_EQ(attr_of(&f, d).size, MANY * 32ull);
    struct counting c = {.seen = calloc(MANY, 1)};
    /* In pieces of 7,777, with something removed and made in between. */
    uint64_t cookie = 0;
    for (;;) {
        c.limit = c.count + 7777;
        uint64_t before = c.count;
        REQUIRE_OK(sfs_fs_readdir(f.fs, d, cookie, false, count_entry, &c));
        cookie = c.last_cookie;
        if (c.count < c.limit)
            break;
        int len = snprintf(name, sizeof name, "other-%u", (unsigned)(before / 7777));
        CHECK_OK(sfs_fs_mknod(f.fs, d, name, (size_t)len, SCALEFS_S_IFREG, 0, 0, owner, &a));
        CHECK_OK(sfs_fs_unlink(f.fs, d, name, (size_t)len));
    }
    CHECK(!c.twice);
    CHECK(!c.disorder);
    CHECK_EQ(c.count, MANY);
    for (unsigned i = 0; i < MANY; i++)
        if (!c.seen[i]) {
            CHECK(c.seen[i]);
            break;
        }
    free(c.seen);
    for (unsigned i = 0; i < MANY; i++) {
        int len = snprintf(name, sizeof name, "entry-%u", (i * 7919u) % MANY);
        if (!CHECK_OK(sfs_fs_unlink(f.fs, d, name, (size_t)len)))
            break;
    }
    CHECK_EQ(attr_of(&f, d).size, 0);
    CHECK_OK(sfs_fs_rmdir(f.fs, ROOT, "d", 1));
    fixture_end(&f);
}

static bool first_attr(void *context, const struct scalefs_dirent *entry)
{
    *(struct scalefs_attr *)context = *entry->attr;
    return false;
}

static void entries_come_with_attributes(void)
{
    struct fixture f;
    struct scalefs_attr a = {.ino = 0};
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "file");
    put_text(&f, file, 0, "12345");
    CHECK_OK(sfs_fs_readdir(f.fs, ROOT, 0, true, first_attr, &a));
    CHECK_EQ(a.ino, file);
    CHECK_EQ(a.size, 5);
    CHECK_EQ(sfs_fs_readdir(f.fs, file, 0, true, first_attr, &a), SCALEFS_E_NOTDIR);
    fixture_end(&f);
}

/* Names whose hashes are the same cannot be made to order; that they are told apart shows when the number of one is
 * taken away. Here: an entry made by hand at a cookie with number 0 of another name's hash. */
static void names_with_one_hash(void)
{
    struct fixture f;
    struct scalefs_attr a;
    fixture_begin(&f, NULL);
    uint64_t stranger = make_file(&f, ROOT, "stranger"), base = sfs_name_cookie((const uint64_t[2]){SFS_TREE_VOLUME, SFS_TREE_VOLUME}, "wanted", 6);
    struct sfs_tx tx;
    uint8_t bytes[64];
    uint32_t len;
    struct sfs_dirent_value v = {.inode = stranger, .type = 8, .name_len = 5, .name = (const uint8_t *)"other"};
    sfs_tx_init(&tx, f.store);
    sfs_tx_put(&tx, SFS_TREE_VOLUME, (struct sfs_key){ROOT, SFS_KEY_DIRENT, base}, bytes, sfs_dirent_encode(&v, bytes));
    CHECK_OK(sfs_tx_commit(&tx));
    CHECK_EQ(find(&f, ROOT, "wanted"), 0);
    uint64_t wanted = make_file(&f, ROOT, "wanted");
    CHECK_EQ(find(&f, ROOT, "wanted"), wanted);
    CHECK_OK(sfs_tree_get(f.store, SFS_TREE_VOLUME, (struct sfs_key){ROOT, SFS_KEY_DIRENT, base + 1}, bytes, sizeof bytes,
                          &len));
    CHECK_OK(unlink_name(&f, ROOT, "wanted"));
    CHECK_EQ(find(&f, ROOT, "wanted"), 0);
    CHECK_OK(sfs_fs_getattr(f.fs, stranger, &a));
    sfs_tx_delete(&tx, SFS_TREE_VOLUME, (struct sfs_key){ROOT, SFS_KEY_DIRENT, base});
    CHECK_OK(sfs_tx_commit(&tx));
    sfs_tx_deinit(&tx);
    fixture_end(&f);
}

/* --- attributes -------------------------------------------------------------------------------------------------------- */

static void attributes(void)
{
    struct fixture f;
    struct scalefs_attr a, set = {.mode = 06755, .uid = 5, .gid = 6, .atime = {-5, 1}, .mtime = {7, 999999999}};
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "file");
    CHECK_OK(sfs_fs_setattr(f.fs, file, &set, SCALEFS_SET_MODE | SCALEFS_SET_ATIME | SCALEFS_SET_MTIME, &a));
    CHECK_EQ(a.mode, SCALEFS_S_IFREG | 06755);
    CHECK_EQ(a.atime.s, -5);
    CHECK_EQ(a.mtime.ns, 999999999);
    fixture_reopen(&f);
    a = attr_of(&f, file);
    CHECK_EQ(a.mode, SCALEFS_S_IFREG | 06755);
    CHECK_EQ(a.atime.s, -5);
    CHECK_OK(sfs_fs_setattr(f.fs, file, &set, SCALEFS_SET_UID, &a)); /* chown takes the set-id bits */
    CHECK_EQ(a.mode, SCALEFS_S_IFREG | 0755);
    CHECK_EQ(a.uid, 5);
    CHECK_OK(sfs_fs_setattr(f.fs, file, &set, SCALEFS_SET_MODE, &a));
    put_text(&f, file, 0, "x"); /* a write and a truncation do so when the caller says */
    CHECK_EQ(attr_of(&f, file).mode, SCALEFS_S_IFREG | 06755);
    set.size = 100;
    CHECK_OK(sfs_fs_setattr(f.fs, file, &set, SCALEFS_SET_SIZE, &a));
    CHECK_EQ(a.mode, SCALEFS_S_IFREG | 06755);
    CHECK_OK(sfs_fs_setattr(f.fs, file, &set, SCALEFS_SET_SIZE | SCALEFS_SET_KILL_SUID, &a));
    CHECK_EQ(a.mode, SCALEFS_S_IFREG | 0755);
    set.mode = 02644; /* without group execution it is no set-id bit */
    CHECK_OK(sfs_fs_setattr(f.fs, file, &set, SCALEFS_SET_MODE, &a));
    CHECK_OK(sfs_fs_setattr(f.fs, file, &set, SCALEFS_SET_KILL_SUID, &a));
    CHECK_EQ(attr_of(&f, file).mode, SCALEFS_S_IFREG | 02644);
    uint64_t fifo;
    CHECK_OK(sfs_fs_mknod(f.fs, ROOT, "fifo", 4, SCALEFS_S_IFIFO | 06755, 0, 0, (struct scalefs_owner){0, 0}, &a));
    fifo = a.ino;
    CHECK_EQ(a.mode, SCALEFS_S_IFIFO | 06755);
    CHECK_OK(sfs_fs_setattr(f.fs, fifo, &set, SCALEFS_SET_GID, &a)); /* of whatever is no directory */
    CHECK_EQ(a.mode, SCALEFS_S_IFIFO | 0755);
    CHECK_EQ(sfs_fs_setattr(f.fs, ROOT, &set, SCALEFS_SET_SIZE, &a), SCALEFS_E_ISDIR);
    set.mtime.ns = 1000000000;
    CHECK_EQ(sfs_fs_setattr(f.fs, file, &set, SCALEFS_SET_MTIME, &a), SCALEFS_E_INVAL);
    fixture_end(&f);
}

/* Times alone make no transaction: they go with the next flush, like those of a write. */
static void times_wait_for_the_flush(void)
{
    struct fixture f;
    struct scalefs_attr a, set = {.atime = {1, 2}, .mtime = {3, 4}, .ctime = {5, 6}};
    struct fake_stats before, after;
    fixture_begin(&f, NULL);
    uint64_t file = make_file(&f, ROOT, "file");
    fake_store_stats(f.store, &before);
    CHECK_OK(sfs_fs_setattr(f.fs, file, &set, SCALEFS_SET_ATIME | SCALEFS_SET_MTIME | SCALEFS_SET_CTIME, &a));
    CHECK_EQ(a.mtime.s, 3);
    CHECK_EQ(a.ctime.ns, 6);
    fake_store_stats(f.store, &after);
    CHECK_EQ(after.transactions, before.transactions);
    CHECK_OK(sfs_fs_fsync(f.fs, file));
    fixture_crash(&f);
    a = attr_of(&f, file);
    CHECK_EQ(a.atime.ns, 2);
    CHECK_EQ(a.mtime.s, 3);
    CHECK_EQ(a.ctime.s, 5);
    set.mtime.s = 8;
    CHECK_OK(sfs_fs_setattr(f.fs, file, &set, SCALEFS_SET_MTIME, &a));
    CHECK_OK(fake_store_checkpoint(f.store)); /* nobody asks for it */
    fixture_crash(&f);
    CHECK_EQ(attr_of(&f, file).mtime.s, 8);
    fixture_end(&f);
}

/* A refused transaction leaves everything as it was. */
static void refused_transactions_change_nothing(void)
{
    struct fixture f;
    struct scalefs_attr a;
    fixture_begin(&f, NULL);
    uint64_t d = make_dir(&f, ROOT, "d"), x = make_file(&f, d, "x"), y = make_file(&f, ROOT, "y");
    put_text(&f, x, 0, "text");
    struct scalefs_attr before = attr_of(&f, d), file = attr_of(&f, x), set = {.mode = 0700};
    fake_store_fail_tx(f.store, 1, 1000, SCALEFS_E_NOSPC);
    CHECK_EQ(sfs_fs_mknod(f.fs, d, "z", 1, SCALEFS_S_IFDIR, 0, 0, owner, &a), SCALEFS_E_NOSPC);
    CHECK_EQ(unlink_name(&f, d, "x"), SCALEFS_E_NOSPC);
    CHECK_EQ(rename_name(&f, d, "x", ROOT, "z", 0), SCALEFS_E_NOSPC);
    CHECK_EQ(rename_name(&f, ROOT, "y", d, "x", 0), SCALEFS_E_NOSPC);
    CHECK_EQ(sfs_fs_link(f.fs, x, ROOT, "z", 1, &a), SCALEFS_E_NOSPC);
    CHECK_EQ(sfs_fs_setattr(f.fs, x, &set, SCALEFS_SET_MODE, &a), SCALEFS_E_NOSPC);
    CHECK_EQ(sfs_fs_setxattr(f.fs, x, "user.a", "b", 1, 0), SCALEFS_E_NOSPC);
    set.size = 2;
    CHECK_OK(sfs_fs_flush(f.fs) == SCALEFS_E_NOSPC ? SCALEFS_OK : SCALEFS_E_IO);
    CHECK_EQ(sfs_fs_setattr(f.fs, x, &set, SCALEFS_SET_SIZE, &a), SCALEFS_E_NOSPC);
    fake_store_fail_tx(f.store, 0, 0, 0);
    struct scalefs_attr after = attr_of(&f, d), file_after = attr_of(&f, x);
    CHECK_MEM(&after, &before, sizeof after);
    CHECK_MEM(&file_after, &file, sizeof file);
    CHECK_EQ(find(&f, d, "x"), x);
    CHECK_EQ(find(&f, ROOT, "y"), y);
    CHECK_EQ(find(&f, d, "z"), 0);
    CHECK(has_text(&f, x, 0, "text"));
    fixture_end(&f);
}

static uint64_t files(struct fixture *f)
{
    struct scalefs_statfs st;
    CHECK_OK(sfs_fs_statfs(f->fs, &st));
    return st.files;
}

static void inodes_are_counted(void)
{
    struct fixture f;
    struct scalefs_attr a;
    char name[16];
    fixture_begin(&f, NULL);
    CHECK_EQ(files(&f), 1);
    uint64_t d = make_dir(&f, ROOT, "d");
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "%d", i);
        make_file(&f, d, name);
    }
    CHECK_EQ(files(&f), 22);
    CHECK_OK(sfs_fs_link(f.fs, find(&f, d, "3"), ROOT, "three", 5, &a)); /* a name, not an inode */
    CHECK_EQ(files(&f), 22);
    CHECK_OK(unlink_name(&f, d, "3"));
    CHECK_OK(unlink_name(&f, d, "4"));
    CHECK_OK(rename_name(&f, d, "5", d, "6", 0));
    sfs_fs_settle(f.fs);
    CHECK_EQ(files(&f), 20);
    fixture_reopen(&f);
    CHECK_EQ(files(&f), 20);
    /* One that is held stays until it is let go, and a crash deletes it, too. */
    CHECK_OK(sfs_fs_hold(f.fs, find(&f, d, "7")));
    CHECK_OK(unlink_name(&f, d, "7"));
    CHECK_EQ(files(&f), 20);
    CHECK_OK(sfs_store_sync(f.store));
    fixture_crash(&f);
    sfs_fs_settle(f.fs);
    CHECK_EQ(files(&f), 19);
    fixture_end(&f);
}

/* --- what is lost ----------------------------------------------------------------------------------------------------- */

static void keep_log(void *context, enum sfs_log_level level, const char *room, int code, const char *text)
{
    char *all = context;
    (void)level;
    (void)code;
    if (!strcmp(room, "fs"))
        snprintf(all + strlen(all), 4000 - strlen(all), "%s\n", text);
}

static bool first_id(void *context, struct sfs_key key, const uint8_t *value, uint32_t len)
{
    struct sfs_fileext_value v;
    (void)key;
    if (!sfs_fileext_decode(value, len, &v))
        *(uint64_t *)context = v.id;
    return false;
}

static uint64_t id_of(struct fixture *f, uint64_t ino)
{
    uint64_t id = 0;
    CHECK_OK(sfs_tree_scan(f->store, SFS_TREE_VOLUME, (struct sfs_key){ino, SFS_KEY_EXTENT, 0},
                           (struct sfs_key){ino, SFS_KEY_EXTENT, UINT64_MAX}, first_id, &id));
    return id;
}

static void lost_extents_have_the_names_of_files(void)
{
    static char log[4000];
    struct fixture f = {.options = {.no_background = true}};
    if (sfs_env_os_create(keep_log, log, &f.env))
        exit(1);
    f.store = fake_store_make(f.env, NULL);
    CHECK_OK(sfs_fs_open(f.store, SFS_TREE_VOLUME, &f.options, &f.fs));
    uint64_t dir = make_dir(&f, ROOT, "letters"), ids[3];
    for (unsigned i = 0; i < 200; i++) {
        char name[20];
        snprintf(name, sizeof name, "letter%u", i);
        uint64_t ino = make_file(&f, dir, name);
        put_text(&f, ino, 7, "Dear Sir or Madam");
        CHECK_OK(sfs_fs_fsync(f.fs, ino));
        if (i == 5 || i == 150)
            ids[i == 150] = id_of(&f, ino);
    }
    ids[2] = UINT64_MAX; /* nobody's */
    fake_store_lose(f.store, ids, 3);
    CHECK(strstr(log, "/letters/letter5 (") && strstr(log, "/letters/letter150 ("));
    CHECK(strstr(log, "has lost 17 bytes"));
    unsigned lines = 0;
    for (const char *p = log; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    CHECK_EQ(lines, 2);
    fixture_end(&f);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(made_and_found);
    RUN(a_set_gid_directory_hands_on_its_group);
    RUN(taken_away);
    RUN(held_files_live_on);
    RUN(orphans_are_deleted_after_a_crash);
    RUN(nameless_files_get_a_name);
    RUN(links);
    RUN(symbolic_links);
    RUN(rename_matrix);
    RUN(rename_never_makes_a_loop);
    RUN(a_new_version_renamed_over_the_old_one_survives);
    RUN(a_hundred_thousand_entries);
    RUN(entries_come_with_attributes);
    RUN(names_with_one_hash);
    RUN(attributes);
    RUN(times_wait_for_the_flush);
    RUN(inodes_are_counted);
    RUN(refused_transactions_change_nothing);
    RUN(lost_extents_have_the_names_of_files);
    return TEST_END();
}
