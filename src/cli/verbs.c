/* The table of verbs, and from the words of the command line to one of them. */
#include "cli/cli.h"

#include <string.h>
#ifdef _WIN32
#include <io.h>
#define isatty _isatty
#define fileno _fileno
#else
#include <unistd.h>
#endif

#define COMMON                                                                                     \
    {"json", NULL}, {"help", NULL}, {"h", NULL},                                                   \
    {                                                                                              \
        NULL, NULL                                                                                 \
    }

static const struct sfs_cli_option common_options[] = {COMMON};
static const struct sfs_cli_option wait_options[] = {{"wait", NULL}, COMMON};
static const struct sfs_cli_option create_options[] = {
    {"failover", "N"}, {"optimize", "HOW"},
    {"size", "SIZE"},  {"station", "NAME=DISK,DISK"},
    {"role", "ROLE=DISK,DISK"}, {"force", NULL},   COMMON};
static const struct sfs_cli_option mount_options[] = {
    {"foreground", NULL},          {"read-only", NULL}, {"degraded", NULL},
    {"from-other-computer", NULL}, {"o", "OPT"},        COMMON};
static const struct sfs_cli_option status_options[] = {{"watch", NULL}, COMMON};
static const struct sfs_cli_option add_options[] = {
    {"station", "NAME"}, {"role", "ROLE"}, {"size", "SIZE"}, {"force", NULL}, {"wait", NULL}, COMMON};
static const struct sfs_cli_option remove_options[] = {{"failover", "N"}, {"wait", NULL}, COMMON};
static const struct sfs_cli_option replace_options[] = {
    {"size", "SIZE"}, {"force", NULL}, {"wait", NULL}, COMMON};
static const struct sfs_cli_option plan_options[] = {
    {"disks", "SIZE,SIZE"}, {"failover", "N"}, {"optimize", "HOW"}, {"station", "NAME"}, {"role", "ROLE"}, COMMON};
static const struct sfs_cli_option import_options[] = {
    {"from-other-computer", NULL}, {"degraded", NULL}, {"keep", "DISK"}, COMMON};

#define MANY 512

static const struct sfs_cli_verb verbs[] = {
    {"create",
     "scalefs create POOL DISK… [--failover N] [--optimize space|balanced|performance|0..100]\n"
     "               [--size SIZE] [--station NAME=DISK,DISK…] [--role metadata=DISK,DISK…]\n"
     "               [--force] [--json]",
     "make a pool of disks",
     "  --failover N    how many disks may fail with nothing lost (0)\n"
     "  --optimize HOW  space, balanced, performance, or a number between (space)\n"
     "  --size SIZE     a disk that does not exist becomes a file of this size\n"
     "  --station …     these disks stand in one box; a box may fail as a whole\n"
     "  --role …        these disks are for metadata: names, attributes, where the bytes of files are\n"
     "  --force         use disks that carry something else, which is lost then\n",
     create_options, 1, MANY, sfs_cli_create,
     "  scalefs create tank /dev/sdb /dev/sdc /dev/sdd --failover 1\n"
     "  scalefs create try a.img b.img --size 1G     # files in place of disks\n"},
    {"mount",
     "scalefs mount POOL|DISK… MOUNTPOINT [--foreground] [--read-only] [--degraded]\n"
     "              [--from-other-computer] [-o OPT,…]",
     "make the files of a pool visible at a folder",
     "  --foreground    stay until it is unmounted\n"
     "  --read-only     nothing is written\n"
     "  --degraded      go on although missing disks might hold a newer state\n"
     "  --from-other-computer   although it was last used by another computer and not exported\n"
     "  -o OPT,…        the options of mount(8), and commit=SECONDS, cache=SIZE, dirty=SIZE\n",
     mount_options, 2, MANY, sfs_cli_mount,
     "  scalefs mount tank /mnt/tank\n"},
    {"unmount", "scalefs unmount MOUNTPOINT|POOL",
     "the reverse; when it returns, the disks are free",
     "Refused while files are in use. After the server of a mount died, takes away what it left behind.\n", common_options, 1, 1, sfs_cli_unmount,
     "  scalefs unmount /mnt/tank\n"},
    {"list", "scalefs list [DISK|FOLDER…] [--json]", "every pool that can be seen, mounted or not",
     "Block devices are looked at, and the folders in SCALEFS_PATH (separated by colons).\n",
     common_options, 0, MANY, sfs_cli_list,
     "  scalefs list\n"},
    {"status", "scalefs status [POOL] [--json] [--watch]", "what a pool is, has and does",
     "  --watch         again every second\n"
     "Exit status 3: the pool needs attention.\n",
     status_options, 0, 1, sfs_cli_status,
     "  scalefs status tank\n"
     "  scalefs status tank --json\n"},
    {"set", "scalefs set POOL KEY=VALUE… [--wait]", "change settings",
     "  verify=checksum|parity      parity: every read also checks the parity of its row\n"
     "  compression=off|zstd[:1-19] of what is written from now on\n"
     "  record=SIZE                 16K to 256K, of files written from now on\n"
     "  rate=off|SIZE               bytes a second that changes of the pool move at most\n"
     "  failover=N                  how many disks may fail with nothing lost\n"
     "  optimize=HOW                space, balanced, performance, or a number between\n"
     "All are changed, or none. What is stored follows the last two while the pool is in use.\n"
     "  --wait          until that is done\n",
     wait_options, 2, MANY, sfs_cli_set,
     "  scalefs set tank failover=2 --wait\n"
     "  scalefs set tank compression=zstd:3 verify=parity\n"},
    {"add", "scalefs add POOL DISK… [--station NAME] [--role data|metadata] [--size SIZE] [--force] [--wait]",
     "new disks join, of any sizes",
     "Their space can be used at once; what is stored spreads over them while the pool is in use.\n"
     "  --station NAME  they stand in this box; a box may fail as a whole\n"
     "  --role metadata they are for metadata, which moves there, and hold no data; see `scalefs help role`\n"
     "  --size SIZE     a disk that does not exist becomes a file of this size\n"
     "  --force         use disks that carry something else, which is lost then\n"
     "  --wait          until what is stored has spread\n",
     add_options, 2, MANY, sfs_cli_add,
     "  scalefs add tank /dev/sde /dev/sdf --station box\n"},
    {"remove", "scalefs remove POOL DISK [--failover N] [--wait]",
     "a disk leaves; what it holds goes to the others",
     "DISK is a path, short id or UUID, present or not.\n"
     "  --failover N    and from now on so many disks may fail with nothing lost\n"
     "  --wait          until it is done and the disk can be unplugged\n",
     remove_options, 2, 2, sfs_cli_remove,
     "  scalefs remove tank 2 --wait                 # the disk with that number in `scalefs status`\n"},
    {"replace", "scalefs replace POOL OLD NEW [OLD NEW]… [--size SIZE] [--force] [--wait]",
     "a new disk takes the place of an old one",
     "OLD is a path, short id or UUID, present or not; NEW a path. Several are replaced all or none.\n"
     "  --size SIZE     NEW becomes a file of this size\n"
     "  --force         use NEW although it carries something else, which is lost then\n"
     "  --wait          until it is done\n",
     replace_options, 3, MANY, sfs_cli_replace,
     "  scalefs replace tank 2 /dev/sde --wait\n"},
    {"resize", "scalefs resize POOL DISK [SIZE] [--wait]", "use more, or less, of a disk's device",
     "Without SIZE all of it, as when it has grown; that is also found at mounting and by `online`. For less, what\n"
     "stands behind that end goes elsewhere; the device may be cut when that is done.\n"
     "  --wait          until it is done\n",
     wait_options, 2, 3, sfs_cli_resize,
     "  scalefs resize tank 2                        # its device has grown\n"
     "  scalefs resize tank 2 500G --wait            # what stands behind that goes elsewhere\n"},
    {"role", "scalefs role POOL DISK data|metadata [--wait]", "what a disk is for",
     "Disks for metadata hold what is known of files (names, attributes, where their bytes are), and no data: fast, small ones\n"
     "make a pool of large, slow disks quicker. As many are wanted as there are copies of metadata, which is one more than may\n"
     "fail, and at least two; where there are fewer, or these are full, disks for data hold the rest. What is stored moves while\n"
     "the pool is in use. Disks for data must be at least one more than may fail.\n"
     "  --wait          until it is done\n",
     wait_options, 3, 3, sfs_cli_role_of_disk,
     "  scalefs role tank 5 metadata --wait\n"},
    {"offline", "scalefs offline POOL DISK", "stop using a disk for a while",
     "Of a mounted pool: until `scalefs online`, or until the pool is opened again with the disk there. Files stay in use;\n"
     "refused where the other disks do not hold all of them.\n", common_options, 2,
     2, sfs_cli_offline,
     "  scalefs offline tank 2\n"},
    {"online", "scalefs online POOL DISK", "use it again; DISK may be where it is found now",
     "Only what the disk missed is written to it.\n",
     common_options, 2, 2, sfs_cli_online,
     "  scalefs online tank /dev/sdf\n"},
    {"scrub", "scalefs scrub POOL [--wait]\nscalefs scrub POOL pause|resume|stop",
     "read and verify everything, repair what is wrong",
     "Exit status 3 with --wait: the pool needs attention.\n", wait_options, 1, 2, sfs_cli_scrub,
     "  scalefs scrub tank --wait\n"},
    {"plan",
     "scalefs plan POOL add DISK|SIZE… [--station NAME] [--role data|metadata]\n"
     "scalefs plan POOL remove DISK [--failover N]\n"
     "scalefs plan POOL replace OLD NEW|SIZE\n"
     "scalefs plan POOL resize DISK [SIZE]\n"
     "scalefs plan POOL role DISK data|metadata\n"
     "scalefs plan POOL set [failover=N] [optimize=HOW]\n"
     "scalefs plan --disks SIZE,SIZE… [--failover N] [--optimize HOW]",
     "what a change would mean, or a pool of such disks",
     "Capacity, disks that may fail, bytes to move and an estimate of the time, or why it would be refused.\n"
     "A SIZE, as 8T, stands for a disk that is not there yet. Nothing is changed.\n",
     plan_options, 0, MANY, sfs_cli_plan,
     "  scalefs plan tank remove 2\n"
     "  scalefs plan --disks 8T,4T,4T --failover 1\n"},
    {"pause", "scalefs pause POOL [TASK]", "halt changes of the pool that are going on",
     "Without TASK all of them, with it that one of `scalefs status`. They stay so over a restart.\n", common_options, 1, 2,
     sfs_cli_pause,
     "  scalefs pause tank\n"},
    {"resume", "scalefs resume POOL [TASK] [--wait]", "let them go on", "  --wait          until they are done\n", wait_options, 1, 2,
     sfs_cli_resume,
     "  scalefs resume tank --wait\n"},
    {"cancel", "scalefs cancel POOL [TASK] [--wait]", "take a change back that is going on",
     "Without TASK all that are going on, with it that one of `scalefs status`. What was moved already\n"
     "moves back. Disks that failed do not come back by it.\n"
     "  --wait          until all is as it was\n",
     wait_options, 1, 2, sfs_cli_cancel,
     "  scalefs cancel tank --wait\n"},
    {"wait", "scalefs wait POOL", "until nothing is left to do",
     "Exit status 3: the pool needs attention.\n", common_options, 1, 1, sfs_cli_wait,
     "  scalefs wait tank && echo done\n"},
    {"check", "scalefs check DISK… [--json]",
     "verify an unmounted pool completely, changing nothing",
     "Exit status 3: there are problems.\n", common_options, 1, MANY, sfs_cli_check,
     "  scalefs check /dev/sdb /dev/sdc /dev/sdd\n"},
    {"export", "scalefs export POOL", "unmount it and let another computer have it",
     "Changes that are going on go on where it is mounted next. Names and places of its disks do not matter there.\n",
     common_options, 1, 1, sfs_cli_export,
     "  scalefs export tank\n"},
    {"import", "scalefs import POOL [--from-other-computer] [--degraded] [--keep DISK]",
     "make a pool from elsewhere this computer's",
     "  --from-other-computer   although it was last used by another one and not exported\n"
     "  --degraded              although missing disks might hold a newer state\n"
     "  --keep DISK             of two halves written apart, keep the one with this disk\n",
     import_options, 1, 1, sfs_cli_import,
     "  scalefs import tank\n"
     "  scalefs import tank --from-other-computer    # that computer is gone\n"},
    {"version", "scalefs version [--json]", "of the program and of the format on disk", "",
     common_options, 0, 0, sfs_cli_version,
     "  scalefs version\n"},
    {"help", "scalefs help [VERB]", "this, or more about a verb", "", common_options, 0, 1,
     sfs_cli_help,
     "  scalefs help replace\n"},
    {NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL},
};

/* Verbs that people will look for because they are documented to come. */
static const struct {
    const char *name, *instead;
} later[] = {
    {"recover", "it cannot get files out of a pool that does not open. Try `scalefs mount DISK… "
                "MOUNTPOINT --read-only --degraded`."},
    {"snapshot", "it has no snapshots. Keep copies of the files elsewhere."},
};

static const char *instead_of(const char *name)
{
    for (size_t i = 0; i < sizeof(later) / sizeof(*later); i++)
        if (!strcmp(later[i].name, name))
            return later[i].instead;
    return NULL;
}

const struct sfs_cli_verb *sfs_cli_verbs(void)
{
    return verbs;
}

const struct sfs_cli_verb *sfs_cli_find_verb(const char *name)
{
    for (const struct sfs_cli_verb *v = verbs; v->name; v++)
        if (!strcmp(v->name, name))
            return v;
    return NULL;
}

static bool wants_json(int argc, char *const *argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--json"))
            return true;
    return false;
}

static int run_verb(struct sfs_cli *cli, const struct sfs_cli_args *args)
{
    const struct sfs_cli_verb *verb = cli->verb;
    if (sfs_cli_flag(args, "help") || sfs_cli_flag(args, "h")) {
        const char *words[] = {verb->name};
        struct sfs_cli_args help = {.words = words, .count = 1};
        return sfs_cli_help(cli, &help);
    }
    if (args->count < verb->min_words)
        return sfs_cli_usage(cli, "Something is missing after \"scalefs %s\".", verb->name);
    if (args->count > verb->max_words)
        return sfs_cli_usage(cli, "\"%s\" is too much.", args->words[verb->max_words]);
    return verb->run(cli, args);
}

bool sfs_cli_not_yet(const struct sfs_cli *cli, const char *name)
{
    const char *instead = instead_of(name);
    if (instead)
        sfs_cli_failed_with(cli, SCALEFS_E_NOTSUP, "\"scalefs %s\" is not in this version yet: %s", name, instead);
    return instead != NULL;
}

int sfs_cli_main(int argc, char *const *argv)
{
    struct sfs_cli cli = {.json = wants_json(argc, argv), .terminal = isatty(fileno(stdout)) != 0};
    struct sfs_cli_args args;
    char problem[256];
    const char *name = argc ? argv[0] : "";
    if (!argc)
        return sfs_cli_usage(&cli, "A verb is missing.");
    if (!strcmp(name, "--help") || !strcmp(name, "-h"))
        name = "help";
    if (!strcmp(name, "--version") || !strcmp(name, "-V"))
        name = "version";
    cli.verb = sfs_cli_find_verb(name);
    if (!cli.verb && sfs_cli_not_yet(&cli, name))
        return SFS_CLI_FAILED;
    if (!cli.verb)
        return sfs_cli_usage(&cli, "There is no verb \"%s\".", name);
    int status =
        sfs_cli_args_parse(argc - 1, argv + 1, cli.verb->options, &args, problem, sizeof(problem))
            ? run_verb(&cli, &args)
            : sfs_cli_usage(&cli, "%s", problem);
    sfs_cli_args_free(&args);
    if (fflush(stdout) && status != SFS_CLI_FAILED)
        status = SFS_CLI_FAILED; /* the result did not reach whoever asked */
    return status;
}
