/* The program `scalefs`. Under the names mount.scalefs and mount.fuse.scalefs it is mount(8)'s
 * helper. */
#include "cli/cli.h"

#ifdef _WIN32
#include <windows.h>
#include <shellapi.h>
#include <stdlib.h>

/* The words of the command line as UTF-8; they live as long as the process. */
static char **utf8_words(int *count)
{
    wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), count);
    char **words = wide ? calloc((size_t)*count + 1, sizeof(*words)) : NULL;
    for (int i = 0; words && i < *count; i++) {
        int len = WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, NULL, 0, NULL, NULL);
        words[i] = len > 0 ? malloc((size_t)len) : NULL;
        if (!words[i])
            return NULL;
        WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, words[i], len, NULL, NULL);
    }
    return words;
}

int main(void)
{
    int argc;
    char **argv = utf8_words(&argc);
    if (!argv) {
        fputs("scalefs: There is not enough memory.\n", stderr);
        return SFS_CLI_FAILED;
    }
    SetConsoleOutputCP(CP_UTF8);
    return sfs_cli_main(argc - 1, argv + 1);
}
#else
int main(int argc, char **argv)
{
    int status;
    if (sfs_cli_mount_helper(argc, argv, &status))
        return status;
    return sfs_cli_main(argc > 0 ? argc - 1 : 0, argv + 1);
}
#endif
