/* A table for people: columns as wide as their widest cell. */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CELL_MAX 1100
#define COLUMNS_MAX 16

void sfs_cli_table_init(struct sfs_cli_table *t, size_t columns, unsigned right)
{
    memset(t, 0, sizeof(*t));
    t->columns = columns;
    t->right = right;
}

static void put_text(struct sfs_cli_table *t, const char *words)
{
    char text[CELL_MAX];
    sfs_text_plain(words, text, sizeof(text));
    if (t->cells == t->room) {
        size_t room = t->room ? t->room * 2 : 64;
        char **texts = realloc(t->texts, room * sizeof(*texts));
        if (!texts) {
            t->bad = true;
            return;
        }
        t->texts = texts;
        t->room = room;
    }
    if (!(t->texts[t->cells] = strdup(text)))
        t->bad = true;
    else
        t->cells++;
}

void sfs_cli_table_put(struct sfs_cli_table *t, const char *format, ...)
{
    char text[CELL_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    put_text(t, text);
}

void sfs_cli_table_put_size(struct sfs_cli_table *t, uint64_t bytes)
{
    char text[SFS_SIZE_TEXT];
    sfs_size_format(bytes, text);
    put_text(t, text);
}

/* Characters, not bytes. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

void sfs_cli_table_print(struct sfs_cli_table *t, FILE *to, unsigned indent)
{
    size_t widths[COLUMNS_MAX] = {0};
    for (size_t i = 0; i < t->cells; i++) {
        size_t width = width_of(t->texts[i]);
        if (width > widths[i % t->columns])
            widths[i % t->columns] = width;
    }
    for (size_t i = 0; i < t->cells; i++) {
        size_t column = i % t->columns;
        int pad = (int)(widths[column] - width_of(t->texts[i]));
        bool last = column + 1 == t->columns;
        if (t->right >> column & 1)
            fprintf(to, "%*s%s", (column ? 0 : (int)indent) + pad, "", t->texts[i]);
        else
            fprintf(to, "%*s%s%*s", column ? 0 : (int)indent, "", t->texts[i], last ? 0 : pad, "");
        fputs(last ? "\n" : "  ", to);
    }
    if (t->bad)
        fputs("(there was not enough memory for all of it)\n", to);
    for (size_t i = 0; i < t->cells; i++)
        free(t->texts[i]);
    free(t->texts);
}
