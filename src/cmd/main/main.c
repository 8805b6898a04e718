#include <stdio.h>
#include <string.h>
#include "cmd/serve.h"
extern char **environ;
int main(int argc,char**argv){ struct dm_config c; struct dm_buf why=DM_BUF_INIT; if(dm_config_load(&c,argc-2,argv+2,environ,&why)){fprintf(stderr,"%s\n",dm_buf_text(&why));return 2;} int r=dm_serve(&c); dm_config_dispose(&c); return r;}
