/* The text after -o of a mount: see options.h. */
#include "drivers/options.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word;
    size_t offset;
    bool value;
} switches[] = {
#define SWITCH(word, field, value) {word, offsetof(struct mount_words, field), value}
    SWITCH("suid", suid, true),
    SWITCH("nosuid", suid, false),
    SWITCH("dev", dev, true),
    SWITCH("nodev", dev, false),
    SWITCH("exec", exec, true),
    SWITCH("noexec", exec, false),
    SWITCH("atime", noatime, false),
    SWITCH("noatime", noatime, true),
    SWITCH("sync", sync, true),
    SWITCH("async", sync, false),
    SWITCH("dirsync", dirsync, true),
    SWITCH("allow_other", allow_other, true),
    SWITCH("noallow_other", allow_other, false),
    SWITCH("degraded", degraded, true),
    SWITCH("from-other-computer", other_host, true),
    SWITCH("remount", remount, true),
#undef SWITCH
};

/* What mount(8) and systemd keep for themselves, what is always so here, and the access-time words
 * that change nothing. */
static const char *const ignored[] = {"defaults", "auto",     "noauto",      "nofail",        "_netdev",
                                      "user",     "nouser",   "users",       "owner",         "group",
                                      "relatime", "norelatime", "strictatime", "nostrictatime", "lazytime",
                                      "nolazytime", "diratime", "nodiratime", "default_permissions", "silent", "loud"};

/* The same with a value; mount(8) gives those of the kernel's table back when it remounts. */
static const char *const ignored_starts[] = {"x-",       "X-",        "comment=", "user=",
                                             "user_id=", "group_id=", "fd=",      "rootmode=",
                                             "max_read=", "blksize=", "subtype=", "fsname="};

static bool is_ignored(const char *word)
{
    for (size_t i = 0; i < sizeof ignored_starts / sizeof ignored_starts[0]; i++)
        if (!strncmp(word, ignored_starts[i], strlen(ignored_starts[i])))
            return true;
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        if (!strcmp(word, ignored[i]))
            return true;
    return false;
}

/* A number, with K, M, G or T (optionally iB) behind it where a size is meant. */
static bool number(const char *text, bool size, uint64_t max, uint64_t *value)
{
    if (!isdigit((unsigned char)*text))
        return false;
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    unsigned shift = 0;
    if (size && *end) {
        static const char letters[] = "KMGT";
        const char *letter = strchr(letters, toupper((unsigned char)*end));
        if (!letter)
            return false;
        shift = 10 * (unsigned)(letter - letters + 1);
        end++;
        if (!strcmp(end, "iB") || !strcmp(end, "B"))
            end = strchr(end, '\0');
    }
    if (*end || n > max >> shift)
        return false;
    *value = (uint64_t)n << shift;
    return true;
}

static bool valued(const char *word, struct mount_words *w)
{
    uint64_t n;
    if (!strncmp(word, "commit=", 7) && number(word + 7, false, 3600, &n) && n > 0) {
        w->commit_seconds = (unsigned)n;
        return true;
    }
    if (!strncmp(word, "cache=", 6) && number(word + 6, true, (uint64_t)1 << 44, &n) && n > 0) {
        w->cache_bytes = n;
        return true;
    }
    if (!strncmp(word, "dirty=", 6) && number(word + 6, true, (uint64_t)1 << 44, &n) && n > 0) {
        w->dirty_bytes = n;
        return true;
    }
    return false;
}

static bool one_word(const char *word, struct mount_words *w)
{
    if (!strcmp(word, "ro") || !strcmp(word, "rw")) {
        w->read_only = word[1] == 'o';
        w->read_write = !w->read_only;
        return true;
    }
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++)
        if (!strcmp(word, switches[i].word)) {
            *(bool *)((char *)w + switches[i].offset) = switches[i].value;
            return true;
        }
    return is_ignored(word) || valued(word, w);
}

int sfs_drivers_options_parse(const char *text, bool privileged, struct mount_words *words,
                              struct scalefs_error_info *info)
{
    *words = (struct mount_words){
        .suid = privileged, .dev = privileged, .exec = true, .allow_other = privileged};
    while (text && *text) {
        char word[256];
        size_t len = strcspn(text, ",");
        if (len < sizeof word) {
            memcpy(word, text, len);
            word[len] = '\0';
        }
        if (len >= sizeof word || (len && !one_word(word, words))) {
            info->error = SCALEFS_E_INVAL;
            snprintf(info->text, sizeof info->text,
                     "The mount option \"%.*s\" is not one that ScaleFS knows, or its value makes no "
                     "sense. Known are ro, rw, degraded, from-other-computer, noatime, nosuid, nodev, "
                     "noexec, allow_other, commit=SECONDS, cache=SIZE and dirty=SIZE.",
                     len > 64 ? 64 : (int)len, text);
            return SCALEFS_E_INVAL;
        }
        text += len;
        text += *text == ',';
    }
    return SCALEFS_OK;
}
