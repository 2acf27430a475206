/* The library itself: version, environment, words, refusals. */
#include "api/internal.h"

#include <stdio.h>

#define FORMAT_VERSION 1u

const char *scalefs_version(void)
{
    return SFS_VERSION;
}

unsigned scalefs_format_version(void)
{
    return FORMAT_VERSION;
}

static void pass_on(void *context, enum sfs_log_level level, const char *room, int code,
                    const char *text)
{
    const struct sfs_api_log *log = context;
    if (log->fn)
        log->fn(log->context, (int)level, room, code, text);
}

int sfs_api_env_open(struct sfs_api_log *log, struct sfs_env **env)
{
    return sfs_env_os_create(pass_on, log, env);
}

void sfs_api_env_close(struct sfs_env *env)
{
    if (env && env->disk_context_destroy)
        env->disk_context_destroy(env);
    sfs_env_os_destroy(env);
}

int sfs_api_explain(struct scalefs_error_info *info, int error)
{
    if (error && info && info->error != error) {
        const char *text = scalefs_error_text(error);
        info->error = error;
        snprintf(info->text, sizeof info->text, "%c%s.",
                 text[0] >= 'a' && text[0] <= 'z' ? text[0] - 'a' + 'A' : text[0], text + 1);
    }
    return error;
}

static const char *word(const char *const *words, unsigned count, unsigned i)
{
    return i < count ? words[i] : "unknown";
}

const char *scalefs_pool_state_name(enum scalefs_pool_state s)
{
    const char *const words[] = {"healthy", "degraded", "suspended", "damaged"};
    return word(words, 4, (unsigned)s);
}

const char *scalefs_disk_state_name(enum scalefs_disk_state s)
{
    const char *const words[] = {"online", "absent", "failed", "leaving", "joining"};
    return word(words, 5, (unsigned)s);
}

const char *scalefs_task_kind_name(enum scalefs_task_kind k)
{
    const char *const words[] = {"rebuild", "remove", "replace", "rebalance",
                                 "convert", "resize", "compact", "scrub"};
    return word(words, 8, (unsigned)k);
}

const char *scalefs_task_state_name(enum scalefs_task_state s)
{
    const char *const words[] = {"running", "paused", "blocked"};
    return word(words, 3, (unsigned)s);
}

const char *scalefs_role_name(enum scalefs_role role)
{
    const char *const words[] = {"data", "metadata"};
    return word(words, 2, (unsigned)role);
}

const char *scalefs_loss_name(enum scalefs_loss l)
{
    const char *const words[] = {"none", "degraded", "suspended"};
    return word(words, 3, (unsigned)l);
}
