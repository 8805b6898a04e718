# What `cmake --install` puts in place: the binary, the systemd unit, and an
# example of the configuration.
include(GNUInstallDirs)

if(TARGET dormouse)
  install(TARGETS dormouse RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
configure_file(${CMAKE_SOURCE_DIR}/dist/dormouse.service.in
               ${CMAKE_BINARY_DIR}/dormouse.service @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/dormouse.service DESTINATION lib/systemd/system)
install(FILES ${CMAKE_SOURCE_DIR}/dist/dormouse.yaml
        DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
