/* Ctrl-C during work in the foreground: the pool is closed in order, then the command ends. */
#include "cli/cli.h"

#include <signal.h>
#include <string.h>

/* What a signal handler can reach is of the whole process, so this one thing is, too. */
static volatile sig_atomic_t interrupted;

static void note(int number)
{
    interrupted = 1;
    signal(number, SIG_DFL);
}

void sfs_cli_interrupt_catch(void)
{
#ifdef _WIN32
    signal(SIGINT, note);
    signal(SIGTERM, note);
#else
    struct sigaction action; /* without SA_RESTART: what waits shall wake up */
    memset(&action, 0, sizeof(action));
    action.sa_handler = note;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
#endif
}

bool sfs_cli_interrupted(void)
{
    return interrupted != 0;
}
