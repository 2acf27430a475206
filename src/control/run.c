/* The verbs of the control protocol on an open pool: one function each, found through the table. */
#include "control/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTINGS_MAX 16
#define DISKS_MAX 256

struct run {
    struct scalefs_pool *pool;
    const char *mounted;
    const struct sfs_value *request;
    const struct sfs_control_asker *asker;
    const struct scalefs_status *before;
    struct scalefs_error_info info;
    const struct scalefs_plan *plan;
    unsigned ticks;
    bool stop;
};

static bool send_answer(const struct sfs_control_asker *asker, struct sfs_json *json)
{
    char *line;
    size_t len;
    bool heard = false;
    if (!sfs_message_line(json, &line, &len)) {
        heard = asker->answer(asker->context, line, len);
        free(line);
    }
    sfs_json_deinit(json);
    return heard;
}

bool sfs_control_answer_error(const struct sfs_control_asker *asker, int error, const char *text)
{
    struct sfs_json json;
    sfs_message_begin(&json, "error");
    sfs_message_put_error(&json, error, text);
    return send_answer(asker, &json);
}

static bool answer_status(struct run *r, const char *type, const struct scalefs_status *status)
{
    struct sfs_json json;
    sfs_message_begin(&json, type);
    sfs_message_put_status(&json, status, r->mounted, r->before);
    if (r->plan)
        sfs_message_put_plan(&json, r->plan);
    return send_answer(r->asker, &json);
}

/* --- waiting --- */

static void on_progress(void *context, const struct scalefs_status *status)
{
    struct run *r = context;
    if (r->asker->stop(r->asker->context))
        r->stop = true;
    else if (r->ticks++ % 2 == 0 && !answer_status(r, "progress", status))
        r->stop = true;
}

static int wait_done(struct run *r)
{
    r->stop = false;
    int error = scalefs_pool_wait(r->pool, on_progress, r, &r->stop);
    if (r->stop || error == SCALEFS_E_CANCELED)
        return sfs_control_fail(
            &r->info, SCALEFS_E_CANCELED,
            "The waiting was ended before the work was. The work goes on while the "
            "pool is open, and at its next opening.");
    return error;
}

static int wait_if_asked(struct run *r)
{
    return sfs_value_bool(r->request, "wait", false) ? wait_done(r) : SCALEFS_OK;
}

/* --- verbs --- */

static int bad_request(struct run *r, const char *what)
{
    return sfs_control_fail(&r->info, SCALEFS_E_PROTOCOL, "The request has no proper %s.", what);
}

static int run_status(struct run *r)
{
    (void)r;
    return SCALEFS_OK;
}

struct setting {
    const char *key, *value;
};

/* Today's value of a setting, in the words of scalefs_pool_set. False: not known here. */
static bool value_now(const struct scalefs_status *s, const char *key, char *text, size_t size)
{
    if (!strcmp(key, "verify"))
        snprintf(text, size, "%s", s->verify ? "parity" : "checksum");
    else if (!strcmp(key, "compression") && s->compression)
        snprintf(text, size, "zstd:%d", s->zstd_level);
    else if (!strcmp(key, "compression"))
        snprintf(text, size, "off");
    else if (!strcmp(key, "record"))
        snprintf(text, size, "%u", (unsigned)s->record_bytes);
    else if (!strcmp(key, "rate") && !s->rate)
        snprintf(text, size, "off");
    else if (!strcmp(key, "rate"))
        snprintf(text, size, "%llu", (unsigned long long)s->rate);
    else if (!strcmp(key, "failover"))
        snprintf(text, size, "%u", s->failover);
    else if (!strcmp(key, "optimize"))
        snprintf(text, size, "%u", s->optimize);
    else
        return false;
    return true;
}

/* All settings or none: those that were taken are taken back when a later one is refused. */
static int run_set(struct run *r)
{
    const struct sfs_value *list = sfs_value_get(r->request, "settings");
    struct setting settings[SETTINGS_MAX];
    size_t count = 0;
    if (!list || list->type != SFS_VALUE_ARRAY || !list->count || list->count > SETTINGS_MAX)
        return bad_request(r, "list of settings");
    for (const struct sfs_value *v = list->first; v; v = v->next) {
        struct setting s = {sfs_value_string(v, "key", NULL), sfs_value_string(v, "value", NULL)};
        if (!s.key || !s.value)
            return bad_request(r, "list of settings");
        settings[count++] = s;
    }
    for (size_t i = 0; i < count; i++) {
        int error = scalefs_pool_set(r->pool, settings[i].key, settings[i].value, &r->info);
        if (!error)
            continue;
        while (i-- > 0) {
            struct scalefs_error_info ignored;
            char old[64];
            if (value_now(r->before, settings[i].key, old, sizeof(old)))
                scalefs_pool_set(r->pool, settings[i].key, old, &ignored);
        }
        return error;
    }
    return wait_if_asked(r);
}

/* "data" where nothing is said. */
static bool role_of(const struct sfs_value *request, enum scalefs_role *role)
{
    const char *word = sfs_value_string(request, "role", "data");
    *role = strcmp(word, "metadata") ? SCALEFS_ROLE_DATA : SCALEFS_ROLE_METADATA;
    return !strcmp(word, scalefs_role_name(*role));
}

static int run_add(struct run *r)
{
    const struct sfs_value *list = sfs_value_get(r->request, "disks");
    const char *paths[DISKS_MAX];
    size_t count = 0;
    if (!list || list->type != SFS_VALUE_ARRAY || !list->count || list->count > DISKS_MAX)
        return bad_request(r, "list of disks");
    for (const struct sfs_value *v = list->first; v; v = v->next) {
        if (v->type != SFS_VALUE_STRING)
            return bad_request(r, "list of disks");
        paths[count++] = v->string;
    }
    struct scalefs_add_options options = {.struct_bytes = sizeof options,
                                          .station = sfs_value_string(r->request, "station", NULL),
                                          .file_bytes = sfs_value_u64(r->request, "size", 0),
                                          .force = sfs_value_bool(r->request, "force", false)};
    if (!role_of(r->request, &options.role))
        return bad_request(r, "role");
    int error = scalefs_pool_add_with(r->pool, paths, count, &options, &r->info);
    return error ? error : wait_if_asked(r);
}

static int run_role(struct run *r)
{
    const char *disk = sfs_value_string(r->request, "disk", NULL);
    enum scalefs_role role;
    if (!disk || !role_of(r->request, &role))
        return bad_request(r, disk ? "role" : "disk");
    int error = scalefs_pool_set_role(r->pool, disk, role, &r->info);
    return error ? error : wait_if_asked(r);
}

static int run_remove(struct run *r)
{
    const char *disk = sfs_value_string(r->request, "disk", NULL);
    uint64_t failover = sfs_value_u64(r->request, "failover", UINT64_MAX);
    if (!disk || (failover != UINT64_MAX && failover > 31))
        return bad_request(r, "disk");
    int error = scalefs_pool_remove(r->pool, disk, failover > 31 ? -1 : (int)failover, &r->info);
    return error ? error : wait_if_asked(r);
}

/* "old" and "new" of one pair, or "pairs" of several. */
static int run_replace(struct run *r)
{
    const struct sfs_value *list = sfs_value_get(r->request, "pairs");
    const struct sfs_value *v = list ? list->first : r->request;
    const char *old_disks[DISKS_MAX], *new_paths[DISKS_MAX];
    size_t count = 0;
    if (list && (list->type != SFS_VALUE_ARRAY || !list->count || list->count > DISKS_MAX))
        return bad_request(r, "list of pairs");
    for (; v; v = list ? v->next : NULL) {
        old_disks[count] = sfs_value_string(v, "old", NULL);
        new_paths[count] = sfs_value_string(v, "new", NULL);
        if (!old_disks[count] || !new_paths[count])
            return bad_request(r, "pair of disks");
        count++;
    }
    int error = scalefs_pool_replace_all(r->pool, old_disks, new_paths, count, sfs_value_u64(r->request, "size", 0),
                                         sfs_value_bool(r->request, "force", false), &r->info);
    return error ? error : wait_if_asked(r);
}

static int run_resize(struct run *r)
{
    const char *disk = sfs_value_string(r->request, "disk", NULL);
    if (!disk)
        return bad_request(r, "disk");
    int error = scalefs_pool_resize(r->pool, disk, sfs_value_u64(r->request, "size", 0), &r->info);
    return error ? error : wait_if_asked(r);
}

static int run_offline(struct run *r)
{
    const char *disk = sfs_value_string(r->request, "disk", NULL);
    if (!disk)
        return bad_request(r, "disk");
    if (!r->mounted)
        return sfs_control_fail(
            &r->info, SCALEFS_E_INVAL,
            "The pool %s is not mounted, so none of its disks is in use and none can go offline. To "
            "use it without a disk, unplug that one, then mount the pool.",
            r->before->name);
    return scalefs_pool_offline(r->pool, disk, &r->info);
}

static int run_online(struct run *r)
{
    const char *disk = sfs_value_string(r->request, "disk", NULL);
    int error = disk ? scalefs_pool_online(r->pool, disk, &r->info) : bad_request(r, "disk");
    return error ? error : wait_if_asked(r);
}

static int run_scrub(struct run *r)
{
    static const char *const actions[] = {"start", "pause", "resume", "stop"};
    static const enum scalefs_scrub_verb verbs[] = {SCALEFS_SCRUB_START, SCALEFS_SCRUB_PAUSE,
                                                    SCALEFS_SCRUB_RESUME, SCALEFS_SCRUB_STOP};
    const char *action = sfs_value_string(r->request, "action", "start");
    for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
        if (!strcmp(action, actions[i])) {
            int error = scalefs_pool_scrub(r->pool, verbs[i], &r->info);
            return error ? error : wait_if_asked(r);
        }
    return bad_request(r, "action");
}

/* pause, resume, cancel */
static int run_task(struct run *r, int (*call)(struct scalefs_pool *, unsigned, struct scalefs_error_info *))
{
    uint64_t task = sfs_value_u64(r->request, "task", 0);
    if (task > UINT32_MAX)
        return bad_request(r, "task");
    int error = call(r->pool, (unsigned)task, &r->info);
    return error ? error : wait_if_asked(r);
}

static int run_pause(struct run *r)
{
    return run_task(r, scalefs_pool_pause);
}

static int run_resume(struct run *r)
{
    return run_task(r, scalefs_pool_resume);
}

static int run_cancel(struct run *r)
{
    return run_task(r, scalefs_pool_cancel);
}

static int run_plan(struct run *r)
{
    static const char *const names[] = {"add", "remove", "replace", "resize", "set", "role"};
    const struct sfs_value *list = sfs_value_get(r->request, "disks");
    const char *change = sfs_value_string(r->request, "change", ""), *paths[DISKS_MAX];
    uint64_t failover = sfs_value_u64(r->request, "failover", UINT64_MAX), optimize = sfs_value_u64(r->request, "optimize", UINT64_MAX);
    struct scalefs_change c = {.struct_bytes = sizeof c, .disk = sfs_value_string(r->request, "disk", NULL),
                               .failover = failover > 31 ? -1 : (int)failover, .optimize = optimize > 100 ? -1 : (int)optimize,
                               .bytes = sfs_value_u64(r->request, "size", 0), .disks = paths,
                               .station = sfs_value_string(r->request, "station", NULL)};
    unsigned verb = 0;
    while (verb < 6 && strcmp(change, names[verb]))
        verb++;
    if (!role_of(r->request, &c.role))
        return bad_request(r, "role");
    if (verb == 6 || (list && (list->type != SFS_VALUE_ARRAY || list->count > DISKS_MAX)))
        return bad_request(r, "change");
    c.verb = (enum scalefs_change_verb)verb;
    for (const struct sfs_value *v = list ? list->first : NULL; v; v = v->next) {
        if (v->type != SFS_VALUE_STRING)
            return bad_request(r, "list of disks");
        paths[c.disk_count++] = v->string;
    }
    struct scalefs_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return SCALEFS_E_NOMEM;
    r->plan = plan;
    return scalefs_pool_plan(r->pool, &c, plan, &r->info);
}

static const struct verb {
    const char *name;
    int (*run)(struct run *r);
} verbs[] = {
    {"hello", run_status},    {"status", run_status},   {"set", run_set},
    {"add", run_add},         {"remove", run_remove},
    {"replace", run_replace}, {"offline", run_offline}, {"online", run_online},
    {"scrub", run_scrub},     {"wait", wait_done},
    {"plan", run_plan},       {"resize", run_resize},   {"role", run_role},   {"pause", run_pause},     {"resume", run_resume},   {"cancel", run_cancel},
};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
        if (!strcmp(verbs[i].name, name))
            return &verbs[i];
    return NULL;
}

bool sfs_control_waits(const struct sfs_value *request)
{
    return sfs_value_bool(request, "wait", false) ||
           !strcmp(sfs_value_string(request, "verb", ""), "wait");
}

int sfs_control_run(struct scalefs_pool *pool, const char *mounted, const struct sfs_value *request,
                    const struct sfs_control_asker *asker)
{
    struct run r = {.pool = pool, .mounted = mounted, .request = request, .asker = asker};
    struct scalefs_status *before = NULL, *after = NULL;
    const char *name = sfs_value_string(request, "verb", "");
    const struct verb *verb = find_verb(name);
    int error;
    if (!verb) {
        error = sfs_control_fail(
            &r.info, SCALEFS_E_PROTOCOL,
            "The request \"%.64s\" is not known here. Is the mounted pool served by "
            "an older ScaleFS?",
            name);
        goto out;
    }
    if ((error = scalefs_pool_status(pool, &before)))
        goto out;
    r.before = before;
    if ((error = verb->run(&r)) || (error = scalefs_pool_status(pool, &after)))
        goto out;
    answer_status(&r, "done", after);
out:
    if (error)
        sfs_control_answer_error(asker, error, r.info.text);
    free((void *)r.plan);
    scalefs_status_free(before);
    scalefs_status_free(after);
    return error;
}
