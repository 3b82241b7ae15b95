# SPDX-License-Identifier: GPL-2.0
#
# Turn the kernel's <linux/vfio.h> back into what user space gets from an older release, by
# leaving out what came later: awk -v release=6.1 -f age.awk vfio.h
#
# Only what this project's header defines is of interest. The macros, types and enumerators
# below are those of the commits in which they came.

function came(version, names,    list, i) {
	if (release + 0 >= version)
		return
	split(names, list)
	for (i in list)
		later[list[i]] = 1
}

BEGIN {
	split(release, part, ".")
	release = part[1] * 1000 + part[2]
	came(6000, "VFIO_DEVICE_FEATURE_DMA_LOGGING_START VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP " \
	     "VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT vfio_device_feature_dma_logging_control " \
	     "vfio_device_feature_dma_logging_range vfio_device_feature_dma_logging_report")
	came(6002, "VFIO_MIGRATION_PRE_COPY VFIO_DEVICE_STATE_PRE_COPY " \
	     "VFIO_DEVICE_STATE_PRE_COPY_P2P vfio_precopy_info VFIO_MIG_GET_PRECOPY_INFO " \
	     "VFIO_DEVICE_FEATURE_MIG_DATA_SIZE vfio_device_feature_mig_data_size " \
	     "VFIO_PRECOPY_INFO_REINIT VFIO_DEVICE_STATE_NR")
	# Some release after 6.12.
	came(6013, "VFIO_PRECOPY_INFO_REINIT VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2")
}

/^struct [a-z0-9_]+ \{$/ && ($2 in later) { inside = 1 }
inside { if (/^};/) inside = 0; next }
$1 == "#define" { name = $2; sub(/\(.*/, "", name); if (name in later) next }
/^\tVFIO_[A-Z0-9_]+( =|,)/ { name = $1; sub(/,.*/, "", name); if (name in later) next }
{ gsub(/[ \t]__user/, ""); gsub(/[ \t]__counted_by\([a-z_]*\)/, ""); print }
