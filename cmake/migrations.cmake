# Embeds migrations/NNNN_name.sql as C strings, in order, for dm_store. The
# numbers must run 0001, 0002 … without a gap: a migration's number is the
# version of the database that it arrives at.
file(GLOB migration_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/migrations/[0-9]*.sql)
list(SORT migration_files)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${migration_files})

set(migration_number 0)
set(migration_entries "")
foreach(path ${migration_files})
  math(EXPR migration_number "${migration_number} + 1")
  get_filename_component(name ${path} NAME_WE)
  string(REGEX MATCH "^[0-9]+" digits ${name})
  string(REGEX REPLACE "^0+" "" number ${digits})
  if(NOT number STREQUAL migration_number)
    message(FATAL_ERROR "migrations/${name}.sql: number ${migration_number} comes next")
  endif()
  file(READ ${path} sql)
  string(REPLACE "\\" "\\\\" sql "${sql}")
  string(REPLACE "\"" "\\\"" sql "${sql}")
  string(REPLACE "\n" "\\n\"\n     \"" sql "${sql}")
  string(APPEND migration_entries "    {\"${name}\",\n     \"${sql}\"},\n")
endforeach()

set(migrations_c ${CMAKE_BINARY_DIR}/generated/migrations.c)
file(WRITE ${migrations_c}.new "/* Made by cmake/migrations.cmake from migrations/. */
#include \"store/migrate_priv.h\"

const struct dm_migration dm_migrations[] = {
${migration_entries}};
const int dm_migration_count = ${migration_number};
")
configure_file(${migrations_c}.new ${migrations_c} COPYONLY) # touched only where it differs
target_sources(dm_store PRIVATE ${migrations_c})
