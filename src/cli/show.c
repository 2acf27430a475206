/* `status` for people, and whether it asks for their attention. */
#include "cli/cli.h"

#include <string.h>

static const char *optimize_name(uint64_t optimize)
{
    return optimize == 0     ? " (space)"
           : optimize == 50  ? " (balanced)"
           : optimize == 100 ? " (performance)"
                             : "";
}

static void show_state(const struct sfs_value *pool, const struct sfs_value *more, FILE *to)
{
    uint64_t left = sfs_value_u64(more, "failures_left", 0);
    const char *state = sfs_value_string(pool, "state", "?");
    fprintf(to, "state      %s", state);
    if (!strcmp(state, "healthy") || !strcmp(state, "degraded")) {
        if (left == 0)
            fputs(": no disk may fail", to);
        else
            fprintf(to, ": %llu %s may fail with nothing lost", (unsigned long long)left,
                    left == 1 ? "disk" : "disks");
    } else if (!strcmp(state, "suspended")) {
        fputs(": too many disks are absent", to);
    } else if (!strcmp(state, "damaged")) {
        fputs(": some data are lost", to);
    }
    /* Of one that is opened only to be looked at, that is nothing to tell. */
    bool mounted = sfs_value_string(pool, "mounted", NULL) != NULL;
    fputs(mounted && sfs_value_bool(more, "read_only", false) ? ", mounted for reading only\n" : "\n",
          to);
}

static void show_config(const struct sfs_value *config, const struct sfs_value *more, FILE *to)
{
    char record[SFS_SIZE_TEXT];
    uint64_t optimize = sfs_value_u64(config, "optimize", 0);
    const char *compression = sfs_value_string(more, "compression", "off");
    fprintf(to, "config     failover %llu, optimize %llu%s, verify %s, compression %s",
            (unsigned long long)sfs_value_u64(config, "failover", 0), (unsigned long long)optimize,
            optimize_name(optimize), sfs_value_string(config, "verify", "?"), compression);
    if (strcmp(compression, "off"))
        fprintf(to, ":%llu", (unsigned long long)sfs_value_u64(more, "zstd_level", 0));
    sfs_size_format(sfs_value_u64(more, "record_bytes", 0), record);
    fprintf(to, ", record %s", record);
    sfs_size_format(sfs_value_u64(more, "rate", 0), record);
    if (sfs_value_u64(more, "rate", 0))
        fprintf(to, ", rate %s/s", record);
    fputs(sfs_value_bool(more, "paused", false) ? ", changes paused\n" : "\n", to);
}

static void show_capacity(const struct sfs_value *capacity, FILE *to)
{
    char raw[SFS_SIZE_TEXT], usable[SFS_SIZE_TEXT], used[SFS_SIZE_TEXT], left[SFS_SIZE_TEXT];
    uint64_t usable_bytes = sfs_value_u64(capacity, "usable", 0),
             used_bytes = sfs_value_u64(capacity, "used", 0);
    sfs_size_format(sfs_value_u64(capacity, "raw", 0), raw);
    sfs_size_format(usable_bytes, usable);
    sfs_size_format(used_bytes, used);
    sfs_size_format(sfs_value_u64(capacity, "free", 0), left);
    fprintf(to, "capacity   %s used", used);
    if (usable_bytes)
        fprintf(to, " (%.0f %%)", (double)used_bytes * 100.0 / (double)usable_bytes);
    fprintf(to, ", %s free, %s usable of %s raw\n", left, usable, raw);
}

static void show_disks(const struct sfs_value *disks, FILE *to)
{
    static const char *const titles[] = {"DISK",   "STATE",   "ROLE", "SIZE", "USED",
                                         "ERRORS", "STATION", "PATH", "UUID"};
    struct sfs_cli_table t;
    sfs_cli_table_init(&t, sizeof(titles) / sizeof(*titles), 1u << 0 | 1u << 3 | 1u << 4 | 1u << 5);
    for (size_t i = 0; i < sizeof(titles) / sizeof(*titles); i++)
        sfs_cli_table_put(&t, "%s", titles[i]);
    for (const struct sfs_value *d = disks ? disks->first : NULL; d; d = d->next) {
        const struct sfs_value *errors = sfs_value_get(d, "errors");
        unsigned long long read = sfs_value_u64(errors, "read", 0),
                           write = sfs_value_u64(errors, "write", 0),
                           checksum = sfs_value_u64(errors, "checksum", 0);
        sfs_cli_table_put(&t, "%llu", (unsigned long long)sfs_value_u64(d, "id", 0));
        sfs_cli_table_put(&t, "%s", sfs_value_string(d, "state", "?"));
        sfs_cli_table_put(&t, "%s", sfs_value_string(d, "role", "?"));
        sfs_cli_table_put_size(&t, sfs_value_u64(d, "size", 0));
        sfs_cli_table_put_size(&t, sfs_value_u64(d, "used", 0));
        if (read || write || checksum)
            sfs_cli_table_put(&t, "%llu/%llu/%llu", read, write, checksum);
        else
            sfs_cli_table_put(&t, "none");
        sfs_cli_table_put(&t, "%s", sfs_value_string(d, "station", "-"));
        sfs_cli_table_put(&t, "%s", sfs_value_string(d, "path", "-"));
        sfs_cli_table_put(&t, "%s", sfs_value_string(d, "uuid", "?"));
    }
    fputc('\n', to);
    sfs_cli_table_print(&t, to, 0);
    fputs("(sizes in binary units; errors: read/write/checksum)\n", to);
}

/* What it would mean that a disk, or a station, went now; disks only where it is not the same for all. */
static void show_losses(const struct sfs_value *losses, FILE *to)
{
    for (const struct sfs_value *l = losses ? losses->first : NULL; l; l = l->next) {
        const char *loss = sfs_value_string(l, "loss", "none"), *station = sfs_value_string(l, "station", NULL);
        bool waits = !strcmp(loss, "suspended");
        char bytes[SFS_SIZE_TEXT], name[4 * 64];
        if (!strcmp(loss, "none") || (!station && !waits))
            continue;
        sfs_size_format(sfs_value_u64(l, "bytes", 0), bytes);
        sfs_text_plain(station ? station : "", name, sizeof name);
        if (station)
            fprintf(to, "station %s, if it went: ", name);
        else
            fprintf(to, "disk %llu, if it went: ", (unsigned long long)sfs_value_u64(l, "disk", 0));
        if (!waits)
            fputs("nothing is lost, files stay in use\n", to);
        else if (sfs_value_u64(l, "bytes", 0))
            fprintf(to, "%s could not be reached, the pool would wait for it\n", bytes);
        else
            fputs("the pool would wait for it\n", to);
    }
}

void sfs_cli_show_lost(const struct sfs_value *status, unsigned most, FILE *to)
{
    const struct sfs_value *lost = sfs_value_get(status, "lost_files"), *files = sfs_value_get(lost, "files");
    uint64_t count = sfs_value_u64(lost, "count", 0), shown = 0;
    if (!count)
        return;
    fprintf(to, "%llu %s lost something:\n", (unsigned long long)count, count == 1 ? "file has" : "files have");
    for (const struct sfs_value *f = files ? files->first : NULL; f && shown < most; f = f->next, shown++) {
        char bytes[SFS_SIZE_TEXT], path[4 * 1024 + 1];
        sfs_size_format(sfs_value_u64(f, "bytes", 0), bytes);
        sfs_text_plain(sfs_value_string(f, "path", "?"), path, sizeof path);
        fprintf(to, "  %s  (%s)\n", path, bytes);
    }
    if (shown < count)
        fprintf(to, "  and %llu more\n", (unsigned long long)(count - shown));
}

static void put_task(struct sfs_cli_table *t, const struct sfs_value *task)
{
    char done[SFS_SIZE_TEXT], total[SFS_SIZE_TEXT], rate[SFS_SIZE_TEXT], left[SFS_CLI_DURATION];
    uint64_t bytes_done = sfs_value_u64(task, "bytes_done", 0),
             bytes_total = sfs_value_u64(task, "bytes_total", 0);
    uint64_t speed = sfs_value_u64(task, "rate", 0), disk = sfs_value_u64(task, "disk", 0);
    sfs_size_format(bytes_done, done);
    sfs_size_format(bytes_total, total);
    sfs_size_format(speed, rate);
    uint64_t eta = sfs_value_u64(task, "eta_seconds", 0);
    sfs_cli_duration(eta, left);
    sfs_cli_table_put(t, "%llu", (unsigned long long)sfs_value_u64(task, "id", 0));
    sfs_cli_table_put(t, "%s", sfs_value_string(task, "kind", "?"));
    sfs_cli_table_put(t, "%s", sfs_value_string(task, "state", "?"));
    if (disk)
        sfs_cli_table_put(t, "%llu", (unsigned long long)disk);
    else
        sfs_cli_table_put(t, "-");
    sfs_cli_table_put(t, "%.1f %%",
                      bytes_total ? (double)bytes_done * 100.0 / (double)bytes_total : 0.0);
    sfs_cli_table_put(t, "%s / %s", done, total);
    if (speed && eta)
        sfs_cli_table_put(t, "%s/s, %s left", rate, left);
    else if (speed)
        sfs_cli_table_put(t, "%s/s", rate);
    else if (eta)
        sfs_cli_table_put(t, "%s left", left);
    else
        sfs_cli_table_put(t, "%s", sfs_value_string(task, "reason", ""));
}

static void show_tasks(const struct sfs_value *tasks, FILE *to)
{
    static const char *const titles[] = {"TASK", "KIND", "STATE", "DISK", "DONE", "BYTES", ""};
    struct sfs_cli_table t;
    if (!tasks || !tasks->count)
        return;
    sfs_cli_table_init(&t, sizeof(titles) / sizeof(*titles), 1u << 0 | 1u << 3 | 1u << 4);
    for (size_t i = 0; i < sizeof(titles) / sizeof(*titles); i++)
        sfs_cli_table_put(&t, "%s", titles[i]);
    for (const struct sfs_value *task = tasks->first; task; task = task->next)
        put_task(&t, task);
    fputc('\n', to);
    sfs_cli_table_print(&t, to, 0);
}

void sfs_cli_show_status(const struct sfs_value *answer, FILE *to)
{
    const struct sfs_value *status = sfs_value_get(answer, "status"),
                           *more = sfs_value_get(answer, "more");
    const struct sfs_value *pool = sfs_value_get(status, "pool"),
                           *repairs = sfs_value_get(status, "repairs");
    const char *action = sfs_value_string(pool, "action", NULL);
    unsigned long long repaired = sfs_value_u64(repairs, "extents", 0),
                       gone = sfs_value_u64(repairs, "lost_extents", 0);
    char name[4 * 64];
    sfs_text_plain(sfs_value_string(pool, "name", "?"), name, sizeof name);
    fprintf(to, "pool       %s  (%s)\n", name, sfs_value_string(pool, "uuid", "?"));
    show_state(pool, more, to);
    if (action)
        fprintf(to, "action     %s\n", action);
    fprintf(to, "mounted    %s\n", sfs_value_string(pool, "mounted", "no"));
    show_config(sfs_value_get(status, "config"), more, to);
    show_capacity(sfs_value_get(status, "capacity"), to);
    if (repaired || gone)
        fprintf(to, "repairs    %llu extents repaired, %llu lost\n", repaired, gone);
    show_disks(sfs_value_get(status, "disks"), to);
    show_losses(sfs_value_get(status, "losses"), to);
    show_tasks(sfs_value_get(status, "tasks"), to);
    if (sfs_value_u64(sfs_value_get(status, "lost_files"), "count", 0))
        fputc('\n', to);
    sfs_cli_show_lost(status, 16, to);
}

int sfs_cli_attention(const struct sfs_value *answer)
{
    const struct sfs_value *pool = sfs_value_get(sfs_value_get(answer, "status"), "pool");
    bool healthy = !strcmp(sfs_value_string(pool, "state", ""), "healthy");
    return healthy && !sfs_value_string(pool, "action", NULL) ? SFS_CLI_DONE : SFS_CLI_ATTENTION;
}
