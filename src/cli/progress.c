/* How far the work is: a line that moves on a terminal, plain lines elsewhere. */
#include "cli/cli.h"

#include <string.h>

#define BAR 28

void sfs_cli_duration(uint64_t seconds, char text[SFS_CLI_DURATION])
{
    unsigned long long s = seconds;
    if (s < 60)
        snprintf(text, SFS_CLI_DURATION, "%llu s", s);
    else if (s < 3600)
        snprintf(text, SFS_CLI_DURATION, "%llu min %llu s", s / 60, s % 60);
    else if (s < 48 * 3600)
        snprintf(text, SFS_CLI_DURATION, "%llu h %llu min", s / 3600, s / 60 % 60);
    else
        snprintf(text, SFS_CLI_DURATION, "%llu days", s / 86400);
}

struct sum {
    const char *kind, *state, *reason;
    uint64_t done, total, rate, eta;
    unsigned tasks;
};

/* All tasks together: what is waited for is that none is left. */
static struct sum add_up(const struct sfs_value *tasks)
{
    struct sum s = {.kind = "work", .state = "running", .reason = ""};
    for (const struct sfs_value *t = tasks ? tasks->first : NULL; t; t = t->next) {
        uint64_t eta = sfs_value_u64(t, "eta_seconds", 0);
        /* The one that is being worked on, or else the first, stands for all. */
        if (!s.tasks++ || (!s.rate && sfs_value_u64(t, "rate", 0))) {
            s.kind = sfs_value_string(t, "kind", s.kind);
            s.state = sfs_value_string(t, "state", s.state);
            s.reason = sfs_value_string(t, "reason", "");
        }
        s.done += sfs_value_u64(t, "bytes_done", 0);
        s.total += sfs_value_u64(t, "bytes_total", 0);
        s.rate += sfs_value_u64(t, "rate", 0);
        if (eta > s.eta)
            s.eta = eta;
    }
    if (s.done > s.total)
        s.done = s.total;
    return s;
}

static unsigned per_mille(const struct sum *s)
{
    return s->total ? (unsigned)((double)s->done * 1000.0 / (double)s->total) : 0;
}

static void show_bar(const struct sum *s, FILE *to)
{
    char done[SFS_SIZE_TEXT], total[SFS_SIZE_TEXT], rate[SFS_SIZE_TEXT], left[SFS_CLI_DURATION];
    unsigned mille = per_mille(s), full = mille * BAR / 1000;
    sfs_size_format(s->done, done);
    sfs_size_format(s->total, total);
    sfs_size_format(s->rate, rate);
    sfs_cli_duration(s->eta, left);
    fprintf(to, "\r\033[K%s [", s->kind);
    for (unsigned i = 0; i < BAR; i++)
        fputc(i < full ? '#' : '.', to);
    fprintf(to, "] %u.%u %%  %s / %s", mille / 10, mille % 10, done, total);
    if (strcmp(s->state, "running"))
        fprintf(to, "  %s%s%s", s->state, s->reason[0] ? ": " : "", s->reason);
    else if (s->rate)
        fprintf(to, "  %s/s", rate);
    if (s->eta && !strcmp(s->state, "running"))
        fprintf(to, "  %s left", left);
    fflush(to);
}

static void show_line(const struct sum *s, FILE *to)
{
    char done[SFS_SIZE_TEXT], total[SFS_SIZE_TEXT], rate[SFS_SIZE_TEXT], left[SFS_CLI_DURATION];
    sfs_size_format(s->done, done);
    sfs_size_format(s->total, total);
    sfs_size_format(s->rate, rate);
    sfs_cli_duration(s->eta, left);
    fprintf(to, "%s: %u %% (%s of %s)", s->kind, per_mille(s) / 10, done, total);
    if (strcmp(s->state, "running"))
        fprintf(to, ", %s%s%s", s->state, s->reason[0] ? ": " : "", s->reason);
    else if (s->rate)
        fprintf(to, ", %s/s", rate);
    if (s->eta && !strcmp(s->state, "running"))
        fprintf(to, ", %s left", left);
    fputc('\n', to);
    fflush(to);
}

void sfs_cli_progress_show(struct sfs_cli_progress *p, const struct sfs_value *answer, FILE *to)
{
    struct sum s = add_up(sfs_value_get(sfs_value_get(answer, "status"), "tasks"));
    unsigned percent = per_mille(&s) / 10;
    if (p->quiet || !s.tasks)
        return;
    bool news = !p->shown || percent / 5 != p->last_percent / 5 || strcmp(p->last_kind, s.kind) ||
                strcmp(p->last_state, s.state);
    if (p->terminal)
        show_bar(&s, to);
    else if (news)
        show_line(&s, to);
    p->shown = true;
    p->last_percent = percent;
    snprintf(p->last_kind, sizeof(p->last_kind), "%s", s.kind);
    snprintf(p->last_state, sizeof(p->last_state), "%s", s.state);
}

void sfs_cli_progress_end(struct sfs_cli_progress *p, FILE *to)
{
    if (p->shown && p->terminal)
        fputs("\r\033[K", to);
    fflush(to);
}
