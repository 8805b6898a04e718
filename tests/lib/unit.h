/*
 * What every unit test includes: cmocka behind one main. A cmocka group's
 * return value is a count of failures, which wraps at 256: DM_UNIT_MAIN maps
 * it to 0 or 1.
 */
#ifndef DM_TESTS_LIB_UNIT_H
#define DM_TESTS_LIB_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DM_UNIT_MAIN(...)                                                                          \
    int main(void)                                                                                 \
    {                                                                                              \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                           \
        return cmocka_run_group_tests(tests, NULL, NULL) == 0 ? 0 : 1;                             \
    }

#endif
