#include "test.h"
int main(int argc, char **argv)
{
    TEST_START(argc, argv);
    return TEST_END();
}
