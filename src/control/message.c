/* Documents of the protocol, made and read. */
#include "control/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sfs_message_begin(struct sfs_json *json, const char *type)
{
    sfs_json_init(json, NULL);
    sfs_json_object(json, NULL);
    sfs_json_u64(json, "scalefs", SFS_CONTROL_VERSION);
    if (type)
        sfs_json_string(json, "type", type);
}

int sfs_message_line(struct sfs_json *json, char **line, size_t *len)
{
    const char *text;
    sfs_json_end(json);
    int error = sfs_json_done(json, &text);
    if (error)
        return error;
    char *to = malloc(strlen(text) + 2);
    if (!to)
        return SCALEFS_E_NOMEM;
    *line = to;
    /* Inside strings a newline is written \n: those found here, and the blanks after them, only
     * indent. */
    while (*text) {
        if (*text == '\n')
            text += 1 + strspn(text + 1, " ");
        else
            *to++ = *text++;
    }
    *to++ = '\n';
    *to = '\0';
    *len = (size_t)(to - *line);
    return SCALEFS_OK;
}

/* NULL instead of "". */
static const char *some(const char *text)
{
    return text[0] ? text : NULL;
}

static void put_disk(struct sfs_json *json, const struct scalefs_disk_status *disk)
{
    sfs_json_object(json, NULL);
    sfs_json_u64(json, "id", disk->id);
    sfs_json_string(json, "uuid", disk->uuid);
    sfs_json_string(json, "path", some(disk->path));
    sfs_json_string(json, "station", some(disk->station));
    sfs_json_string(json, "role", scalefs_role_name((enum scalefs_role)disk->role));
    sfs_json_u64(json, "size", disk->size);
    sfs_json_u64(json, "used", disk->used);
    sfs_json_string(json, "state", scalefs_disk_state_name(disk->state));
    sfs_json_object(json, "errors");
    sfs_json_u64(json, "read", disk->read_errors);
    sfs_json_u64(json, "write", disk->write_errors);
    sfs_json_u64(json, "checksum", disk->checksum_errors);
    sfs_json_end(json);
    sfs_json_end(json);
}

/* What it would mean that each disk and each station went now. */
static void put_losses(struct sfs_json *json, const struct scalefs_status *s)
{
    sfs_json_array(json, "losses");
    for (size_t i = 0; i < s->disk_count; i++) {
        sfs_json_object(json, NULL);
        sfs_json_u64(json, "disk", s->disks[i].id);
        sfs_json_string(json, "loss", scalefs_loss_name(s->disks[i].loss));
        sfs_json_u64(json, "bytes", s->disks[i].loss_bytes);
        sfs_json_end(json);
    }
    for (size_t i = 0; i < s->station_count; i++) {
        sfs_json_object(json, NULL);
        sfs_json_string(json, "station", s->stations[i].name);
        sfs_json_u64(json, "disks", s->stations[i].disks);
        sfs_json_u64(json, "absent", s->stations[i].absent);
        sfs_json_string(json, "loss", scalefs_loss_name(s->stations[i].loss));
        sfs_json_u64(json, "bytes", s->stations[i].loss_bytes);
        sfs_json_end(json);
    }
    sfs_json_end(json);
}

void sfs_message_put_plan(struct sfs_json *json, const struct scalefs_plan *p)
{
    sfs_json_object(json, "plan");
    sfs_json_bool(json, "possible", p->possible);
    sfs_json_string(json, "refusal", some(p->refusal));
    sfs_json_u64(json, "used", p->used);
    sfs_json_object(json, "before");
    sfs_json_u64(json, "disks", p->disks_before);
    sfs_json_u64(json, "usable", p->usable_before);
    sfs_json_u64(json, "failures", p->failures_before);
    sfs_json_end(json);
    sfs_json_object(json, "during");
    sfs_json_u64(json, "failures", p->failures_during);
    sfs_json_end(json);
    sfs_json_object(json, "after");
    sfs_json_u64(json, "disks", p->disks_after);
    sfs_json_u64(json, "usable", p->usable_after);
    sfs_json_u64(json, "failures", p->failures_after);
    sfs_json_end(json);
    sfs_json_u64(json, "bytes_to_move", p->bytes_to_move);
    sfs_json_u64(json, "rate", p->rate);
    if (p->rate)
        sfs_json_u64(json, "seconds", p->seconds);
    else
        sfs_json_null(json, "seconds");
    sfs_json_end(json);
}

static void put_task(struct sfs_json *json, const struct scalefs_task_status *task)
{
    sfs_json_object(json, NULL);
    sfs_json_u64(json, "id", task->id);
    sfs_json_string(json, "kind", scalefs_task_kind_name(task->kind));
    sfs_json_string(json, "state", scalefs_task_state_name(task->state));
    if (task->state == SCALEFS_TASK_BLOCKED)
        sfs_json_string(json, "reason", task->reason);
    sfs_json_u64(json, "bytes_done", task->bytes_done);
    sfs_json_u64(json, "bytes_total", task->bytes_total);
    sfs_json_u64(json, "rate", task->rate);
    sfs_json_u64(json, "eta_seconds", task->eta_seconds);
    if (task->disk)
        sfs_json_u64(json, "disk", task->disk);
    else
        sfs_json_null(json, "disk");
    sfs_json_end(json);
}

static void put_repairs(struct sfs_json *json, const char *key, const struct scalefs_status *s)
{
    sfs_json_object(json, key);
    sfs_json_u64(json, "extents", s->extents_repaired);
    sfs_json_u64(json, "lost_extents", s->extents_lost);
    sfs_json_end(json);
}

static void put_lost_files(struct sfs_json *json, const struct scalefs_status *s)
{
    sfs_json_object(json, "lost_files");
    sfs_json_u64(json, "count", s->lost_file_count);
    sfs_json_array(json, "files"); /* the first of them */
    for (size_t i = 0; i < s->lost_named; i++) {
        sfs_json_object(json, NULL);
        sfs_json_string(json, "path", s->lost_files[i].path);
        sfs_json_u64(json, "bytes", s->lost_files[i].bytes);
        sfs_json_end(json);
    }
    sfs_json_end(json);
    sfs_json_end(json);
}

static void put_contract(struct sfs_json *json, const struct scalefs_status *s, const char *mounted)
{
    sfs_json_object(json, "status");
    sfs_json_object(json, "pool");
    sfs_json_string(json, "name", s->name);
    sfs_json_string(json, "uuid", s->uuid);
    sfs_json_string(json, "state", scalefs_pool_state_name(s->state));
    sfs_json_string(json, "mounted", mounted);
    sfs_json_string(json, "action", some(s->action));
    sfs_json_end(json);
    sfs_json_object(json, "config");
    sfs_json_u64(json, "failover", s->failover);
    sfs_json_u64(json, "optimize", s->optimize);
    sfs_json_string(json, "verify", s->verify ? "parity" : "checksum");
    sfs_json_end(json);
    sfs_json_object(json, "capacity");
    sfs_json_u64(json, "raw", s->raw);
    sfs_json_u64(json, "usable", s->usable);
    sfs_json_u64(json, "used", s->used);
    sfs_json_u64(json, "free", s->free);
    sfs_json_end(json);
    sfs_json_array(json, "disks");
    for (size_t i = 0; i < s->disk_count; i++)
        put_disk(json, &s->disks[i]);
    sfs_json_end(json);
    sfs_json_array(json, "tasks");
    for (size_t i = 0; i < s->task_count; i++)
        put_task(json, &s->tasks[i]);
    sfs_json_end(json);
    put_repairs(json, "repairs", s);
    put_lost_files(json, s);
    put_losses(json, s);
    sfs_json_object(json, "changes");
    sfs_json_bool(json, "paused", s->paused);
    sfs_json_u64(json, "rate", s->rate);
    sfs_json_end(json);
    sfs_json_end(json);
}

void sfs_message_put_status(struct sfs_json *json, const struct scalefs_status *status,
                            const char *mounted, const struct scalefs_status *before)
{
    put_contract(json, status, mounted);
    sfs_json_object(json, "more");
    sfs_json_u64(json, "failures_left", status->failures_left);
    sfs_json_string(json, "compression", status->compression ? "zstd" : "off");
    sfs_json_i64(json, "zstd_level", status->zstd_level);
    sfs_json_u64(json, "record_bytes", status->record_bytes);
    sfs_json_bool(json, "read_only", status->read_only);
    sfs_json_bool(json, "paused", status->paused);
    sfs_json_u64(json, "rate", status->rate);
    if (before)
        put_repairs(json, "before", before);
    sfs_json_end(json);
}

void sfs_message_put_error(struct sfs_json *json, int error, const char *text)
{
    sfs_json_object(json, "error");
    sfs_json_string(json, "code", scalefs_error_name(error));
    sfs_json_u64(json, "number", (uint64_t)error);
    sfs_json_string(json, "text", text && text[0] ? text : scalefs_error_text(error));
    sfs_json_end(json);
}

void sfs_message_get_error(const struct sfs_value *answer, struct scalefs_error_info *info)
{
    const struct sfs_value *error = sfs_value_get(answer, "error");
    uint64_t number = sfs_value_u64(error, "number", SCALEFS_E_PROTOCOL);
    info->error = number && number <= INT32_MAX ? (int)number : SCALEFS_E_PROTOCOL;
    snprintf(info->text, sizeof(info->text), "%s",
             sfs_value_string(error, "text", scalefs_error_text(info->error)));
}

int sfs_control_fail(struct scalefs_error_info *info, int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    info->error = error;
    vsnprintf(info->text, sizeof(info->text), format, args);
    va_end(args);
    return error;
}
