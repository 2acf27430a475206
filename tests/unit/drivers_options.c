/* The text after -o of a mount. */
#include "drivers/options.h"

#include "test.h"

static struct scalefs_error_info info;

static int parse(const char *text, struct mount_words *w)
{
    memset(&info, 0, sizeof info);
    return sfs_drivers_options_parse(text, true, w, &info);
}

static void defaults(void)
{
    struct mount_words w;
    CHECK_OK(sfs_drivers_options_parse(NULL, true, &w, &info));
    CHECK(w.suid && w.dev && w.exec && w.allow_other && !w.read_only && !w.noatime);
    CHECK_OK(sfs_drivers_options_parse("", false, &w, &info));
    CHECK(!w.suid && !w.dev && w.exec && !w.allow_other);
    CHECK_EQ(w.commit_seconds, 0);
    CHECK_EQ(w.cache_bytes, 0);
}

static void words(void)
{
    struct mount_words w;
    CHECK_OK(parse("ro,nosuid,nodev,noexec,noatime,degraded,noallow_other", &w));
    CHECK(w.read_only && !w.suid && !w.dev && !w.exec && w.noatime && w.degraded && !w.allow_other);
    CHECK_OK(parse("ro,rw", &w));
    CHECK(!w.read_only && w.read_write);
    CHECK_OK(parse("remount,ro", &w));
    CHECK(w.remount && w.read_only);
    CHECK_OK(parse("defaults,nofail,x-systemd.automount,_netdev,user=me,,relatime,user_id=0", &w));
    CHECK(!w.read_only);
}

static void values(void)
{
    struct mount_words w;
    CHECK_OK(parse("commit=30,cache=256M,dirty=1GiB", &w));
    CHECK_EQ(w.commit_seconds, 30);
    CHECK_EQ(w.cache_bytes, 256ull << 20);
    CHECK_EQ(w.dirty_bytes, 1ull << 30);
    CHECK_OK(parse("cache=65536,dirty=64k", &w));
    CHECK_EQ(w.cache_bytes, 65536);
    CHECK_EQ(w.dirty_bytes, 65536);
}

static void refusing(void)
{
    static const char *const wrong[] = {"nonsense",       "commit=",    "commit=0",  "commit=5s",
                                        "commit=-1",      "cache=12X",  "cache=1MM", "dirty=",
                                        "cache=0",        "commit=9e9", "ROO",       "cache=99999999999T",
                                        "commit=1000000", "cache",      "suid=1"};
    struct mount_words w;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "noatime,%s,ro", wrong[i]);
        CHECK_EQ(parse(text, &w), SCALEFS_E_INVAL);
        CHECK_EQ(info.error, SCALEFS_E_INVAL);
        CHECK(strstr(info.text, wrong[i]) != NULL); /* it says which */
    }
    char *longest = malloc(5000);
    REQUIRE(longest != NULL);
    memset(longest, 'a', 4999);
    longest[4999] = '\0';
    CHECK_EQ(parse(longest, &w), SCALEFS_E_INVAL);
    free(longest);
}

int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    RUN(defaults);
    RUN(words);
    RUN(values);
    RUN(refusing);
    return TEST_END();
}
