/* The live rows of a group: which they are, holding one still, going over many at once. */
#include "store/care_internal.h"

#define WORKERS 8u /* each waits for its reads, then for its write: enough of both are always on their way */

static struct sfs_group *same_group(struct sfs_store *s, const struct sfs_group_record *g)
{
    struct sfs_group *now = sfs_group_of(s->pool, g->group);
    return now && now->record.generation == g->generation ? now : NULL;
}

int sfs_care_states(struct sfs_store *s, const struct sfs_group_record *g, struct sfs_row_state **states)
{
    struct sfs_row_state *rows = sfs_zalloc(s->env, (size_t)g->rows * sizeof *rows);
    if (!rows)
        return SCALEFS_E_NOMEM;
    struct sfs_need need;
    sfs_need_init(&need);
    sfs_store_lock(s);
    int err;
    for (;;) {
        struct sfs_group *now = same_group(s, g);
        if (!now) {
            err = SCALEFS_E_NOENT;
            break;
        }
        if (now->record.class == SFS_CLASS_SYSTEM) {
            memcpy(rows, now->rows, g->rows * sizeof *rows);
            err = SCALEFS_OK;
            break;
        }
        err = sfs_space_rows(s, &need, now, rows);
        if (err == SCALEFS_E_NEED_NODE)
            err = sfs_need_load(s, &need);
        else
            break;
        if (err)
            break;
    }
    sfs_need_done(s, &need);
    sfs_store_unlock(s);
    if (err)
        sfs_free(s->env, rows);
    else
        *states = rows;
    return err;
}

/* One row's state. locked; NEED_NODE as everywhere. */
static int row_live(struct sfs_store *s, struct sfs_need *need, const struct sfs_group *g, uint32_t row, bool *live)
{
    *live = false;
    if (g->record.class == SFS_CLASS_SYSTEM) {
        *live = g->rows[row].live > 0;
        return SCALEFS_OK;
    }
    const uint8_t *v;
    uint32_t len;
    struct sfs_row_state chunk[SFS_SPACE_CHUNK];
    struct sfs_key key = {g->record.group, 0, row / SFS_SPACE_CHUNK};
    int err = sfs_btree_get(s, need, SFS_TREE_SPACE, key, &v, &len);
    if (err == SCALEFS_E_NOENT)
        return SCALEFS_OK;
    if (!err)
        err = sfs_space_decode(v, len, chunk);
    if (!err)
        *live = chunk[row % SFS_SPACE_CHUNK].live > 0;
    return err;
}

int sfs_care_pin_live(struct sfs_store *s, const struct sfs_group_record *g, uint32_t row, bool *live)
{
    struct sfs_need need;
    sfs_need_init(&need);
    sfs_store_lock(s);
    int err;
    for (;;) {
        *live = false;
        struct sfs_group *now = same_group(s, g);
        err = now ? row_live(s, &need, now, row, live) : SCALEFS_OK;
        if (err == SCALEFS_E_NEED_NODE) {
            err = sfs_need_load(s, &need);
            if (err)
                break;
            continue;
        }
        if (err || !*live || !sfs_node_unwritten(s, g->group, row))
            break;
        *live = false;
        if (!s->sending)
            break;
        sfs_cond_wait(&s->checkpoint_done, s->lock);
    }
    if (!err && *live)
        err = sfs_row_pin(s, g->group, row);
    if (err)
        *live = false;
    sfs_need_done(s, &need);
    sfs_store_unlock(s);
    return err;
}

void sfs_care_unpin(struct sfs_store *s, const struct sfs_group_record *g, uint32_t row)
{
    sfs_store_lock(s);
    sfs_row_unpin(s, g->group, row);
    sfs_store_unlock(s);
}

int sfs_care_hold(struct sfs_store *s, const struct sfs_group_record *g)
{
    sfs_store_lock(s);
    int err = same_group(s, g) ? sfs_row_pin(s, g->group, 0) : SCALEFS_E_CHANGED;
    sfs_store_unlock(s);
    return err;
}

void sfs_care_release(struct sfs_store *s, const struct sfs_group_record *g)
{
    sfs_care_unpin(s, g, 0);
}

/* --- many rows --- */

static void work(void *context)
{
    struct sfs_care_sweep *sweep = context;
    struct sfs_store *s = sweep->care->s;
    sfs_store_lock(s);
    while (!sweep->error && sweep->next < sweep->end) {
        uint32_t row = sweep->rows[sweep->next++], count = 1;
        while (count < sweep->run && sweep->next < sweep->end && sweep->rows[sweep->next] == row + count) {
            sweep->next++;
            count++;
        }
        bool stop = sweep->care->stopping;
        sfs_store_unlock(s);
        int err = stop ? SCALEFS_E_CANCELED : sweep->each(sweep->context, row, count);
        sfs_store_lock(s);
        if (err && !sweep->error)
            sweep->error = err;
    }
    sfs_store_unlock(s);
}

int sfs_care_sweep(struct sfs_care_sweep *sweep, size_t from, size_t to)
{
    struct sfs_env *env = sweep->care->s->env;
    struct sfs_task *tasks[WORKERS - 1];
    unsigned started = 0;
    sweep->next = from;
    sweep->end = to;
    sweep->error = SCALEFS_OK;
    /* Where no task can be started the rest is done here, only slower. */
    while (started < WORKERS - 1 && from + started + 1 < to &&
           sfs_task_start(env, "care rows", work, sweep, &tasks[started]) == SCALEFS_OK)
        started++;
    work(sweep);
    for (unsigned i = 0; i < started; i++)
        sfs_task_join(env, tasks[i]);
    return sweep->error;
}
