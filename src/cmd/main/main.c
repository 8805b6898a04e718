/* The entry of the program; everything else is in cmd/command. */
#include <unistd.h>

#include "cmd/command.h"

int main(int argc, char **argv)
{
    return dm_command_run(argc, argv, environ);
}
