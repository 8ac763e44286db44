# What is installed where, as two components, and the Debian packages of the same names: `scripts/package` builds them.
# Manual pages and completions are made by running the programs: target `toolwire_package`, which nothing else needs.
include(GNUInstallDirs)
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY TRUE)  # Or packages would build the tests first.

set(PACKAGE_DIR ${PROJECT_BINARY_DIR}/package)
set(PACKAGE_SOURCES ${CMAKE_CURRENT_LIST_DIR}/package)
function(toolwire_made_of program file)  # command...
  add_custom_command(OUTPUT ${PACKAGE_DIR}/${file}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${PACKAGE_DIR}
    COMMAND ${ARGN} > ${PACKAGE_DIR}/${file}
    DEPENDS ${program} ${PACKAGE_SOURCES}/manual)
  set_property(GLOBAL APPEND PROPERTY TOOLWIRE_PACKAGE_FILES ${PACKAGE_DIR}/${file})
endfunction()
set(MANUAL ${PACKAGE_SOURCES}/manual)
toolwire_made_of(toolwire toolwire.1.gz ${MANUAL} $<TARGET_FILE:toolwire> 1 | gzip -9n)
toolwire_made_of(toolwire-edge toolwire-edge.8.gz ${MANUAL} $<TARGET_FILE:toolwire-edge> 8 | gzip -9n)
toolwire_made_of(toolwire-control toolwire-control.8.gz ${MANUAL} $<TARGET_FILE:toolwire-control> 8 | gzip -9n)
foreach(shell bash zsh fish)
  toolwire_made_of(toolwire toolwire.${shell} $<TARGET_FILE:toolwire> completion ${shell})
endforeach()
get_property(made GLOBAL PROPERTY TOOLWIRE_PACKAGE_FILES)
add_custom_target(toolwire_package DEPENDS ${made})

install(TARGETS toolwire-edge toolwire-control RUNTIME COMPONENT server)
install(FILES ${PACKAGE_DIR}/toolwire-edge.8.gz ${PACKAGE_DIR}/toolwire-control.8.gz
  DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 COMPONENT server OPTIONAL)
install(FILES ${PACKAGE_SOURCES}/toolwire-edge.service ${PACKAGE_SOURCES}/toolwire-control.service
  DESTINATION lib/systemd/system COMPONENT server)
install(TARGETS toolwire RUNTIME COMPONENT cli)
install(FILES ${PACKAGE_DIR}/toolwire.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT cli OPTIONAL)
install(FILES ${PACKAGE_DIR}/toolwire.bash
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME toolwire COMPONENT cli OPTIONAL)
install(FILES ${PACKAGE_DIR}/toolwire.zsh
  DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions RENAME _toolwire COMPONENT cli OPTIONAL)
install(FILES ${PACKAGE_DIR}/toolwire.fish
  DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT cli OPTIONAL)
foreach(component server cli)
  install(FILES ${PACKAGE_SOURCES}/copyright
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/toolwire-${component} COMPONENT ${component})
endforeach()
foreach(program edge control)
  install(FILES ${PACKAGE_SOURCES}/toolwire-${program}.default DESTINATION /etc/default RENAME toolwire-${program}
    PERMISSIONS OWNER_READ OWNER_WRITE COMPONENT server)
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL server cli)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PACKAGE_NAME toolwire)
set(CPACK_PACKAGE_CONTACT "The Toolwire authors")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS OFF)
set(CPACK_DEBIAN_SERVER_PACKAGE_NAME toolwire-server)
set(CPACK_DEBIAN_SERVER_DESCRIPTION "Tool calls from a backend to programs on users' machines: the servers
toolwire-edge holds the WebSockets of agents, toolwire-control takes the calls of backends over gRPC. With systemd
units; Redis and PostgreSQL are needed for more than one of each.")
set(CPACK_DEBIAN_SERVER_PACKAGE_RECOMMENDS toolwire-cli)
set(CPACK_DEBIAN_SERVER_PACKAGE_SUGGESTS "redis-server, postgresql")
set(CPACK_DEBIAN_SERVER_PACKAGE_CONTROL_EXTRA
  "${PACKAGE_SOURCES}/conffiles;${PACKAGE_SOURCES}/postinst;${PACKAGE_SOURCES}/prerm;${PACKAGE_SOURCES}/postrm")
set(CPACK_DEBIAN_SERVER_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_CLI_PACKAGE_NAME toolwire-cli)
set(CPACK_DEBIAN_CLI_DESCRIPTION "Tool calls from a backend to programs on users' machines: the command line
toolwire prepares databases, makes credentials, reads the audit log, checks an installation, makes calls, and runs a
small agent, or both servers in one process for development.")
include(CPack)
