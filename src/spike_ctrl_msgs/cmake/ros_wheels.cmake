# ROS 2 from Python wheels: without effect on a ROS 2 that was installed in another way.
#
# The wheels' exported targets name an include directory of the image that built them (/opt/python/...), and
# CMake refuses an imported target whose include directory does not exist. And the generators find one another
# through AMENT_PREFIX_PATH, which nobody has set where nothing is sourced.

get_filename_component(_ament_prefix "${ament_cmake_DIR}/../../.." ABSOLUTE)
set(ENV{AMENT_PREFIX_PATH} "${_ament_prefix}:$ENV{AMENT_PREFIX_PATH}")

function(_drop_include_directories_of_the_wheel_image)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(directories)
      list(FILTER directories EXCLUDE REGEX "^/opt/python/")
      set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${directories}")
    endif()
  endforeach()
endfunction()

# At the end of the directory: the generators import most targets only while they run.
cmake_language(DEFER CALL _drop_include_directories_of_the_wheel_image)
