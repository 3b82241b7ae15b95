// SPDX-License-Identifier: GPL-2.0
/*
 * The VFIO_DEVICE_FEATURE envelope and the features MIGRATION, MIG_PRECOPY_INFOv2 and
 * MIG_DATA_SIZE.
 */
#include <fcntl.h>
#include <sys/ioctl.h>

#include "lib/fixture.h"

#define GET	VFIO_DEVICE_FEATURE_GET
#define SET	VFIO_DEVICE_FEATURE_SET
#define PROBE	VFIO_DEVICE_FEATURE_PROBE
#define HEADER	sizeof(struct vfio_device_feature)

enum {
	MIGRATION = VFIO_DEVICE_FEATURE_MIGRATION,
	STATE = VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
	LOG_START = VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
	LOG_STOP = VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
	LOG_REPORT = VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
	DATA_SIZE = VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
	INFO_V2 = VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
};

/* A request with an argsz of the test's choice, in a buffer with a known pattern behind. */
struct request {
	__u32 argsz;
	__u32 flags;
	unsigned char payload[64];
};

static int ask(int fd, __u32 flags, __u32 argsz, struct request *req)
{
	memset(req, 0xa5, sizeof(*req));
	req->argsz = argsz;
	req->flags = flags;
	return mig_ioctl(fd, VFIO_DEVICE_FEATURE, req);
}

static bool untouched(const struct request *req, size_t from)
{
	for (; from < sizeof(req->payload); from++)
		if (req->payload[from] != 0xa5)
			return false;
	return true;
}

MIG_FIXTURE(feature);
MIG_FIXTURE(precopy);
MIG_FIXTURE(no_precopy);
MIG_FIXTURE(precopy_group);

TEST_F(mig_feature, f1_fault_on_header)
{
	long page = sysconf(_SC_PAGESIZE);
	char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	__u32 argsz = 16;

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, mprotect(map + page, page, PROT_NONE));
	EXPECT_EQ(-EFAULT, mig_ioctl(self->dev.fd, VFIO_DEVICE_FEATURE, NULL))
		TH_LOG("[F1] NULL");
	EXPECT_EQ(-EFAULT, mig_ioctl(self->dev.fd, VFIO_DEVICE_FEATURE, map + page))
		TH_LOG("[F1] no access");
	memcpy(map + page - 4, &argsz, sizeof(argsz));
	EXPECT_EQ(-EFAULT, mig_ioctl(self->dev.fd, VFIO_DEVICE_FEATURE, map + page - 4))
		TH_LOG("[F1] half a header");
}

TEST_F(mig_feature, f2_argsz_shorter_than_header)
{
	struct request req;
	__u32 argsz;

	for (argsz = 0; argsz < HEADER; argsz++)
		EXPECT_EQ(-EINVAL, ask(self->dev.fd, PROBE | GET | MIGRATION, argsz, &req))
			TH_LOG("[F2] argsz %u", argsz);
}

TEST_F(mig_feature, f3_unknown_flags)
{
	struct request req;
	int bit;

	for (bit = 19; bit < 32; bit++)
		EXPECT_EQ(-EINVAL, ask(self->dev.fd, PROBE | GET | MIGRATION | 1U << bit,
				       HEADER + 8, &req))
			TH_LOG("[F3] bit %d", bit);
}

TEST_F(mig_feature, f4_get_and_set_at_once)
{
	struct request req;

	EXPECT_EQ(-EINVAL, ask(self->dev.fd, GET | SET | STATE, HEADER + 8, &req))
		TH_LOG("[F4]");
	EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[F4] the state changed");
}

TEST_F(mig_feature, f5_probe_of_both_directions)
{
	struct request req;

	EXPECT_EQ(0, ask(self->dev.fd, PROBE | GET | SET | STATE, HEADER + 8, &req))
		TH_LOG("[F5] [S1]");
	EXPECT_EQ(-EINVAL, ask(self->dev.fd, PROBE | GET | SET | MIGRATION, HEADER + 8, &req))
		TH_LOG("[F5] MIGRATION is GET only");
	EXPECT_EQ(-EINVAL, ask(self->dev.fd, PROBE | GET | SET | DATA_SIZE, HEADER + 8, &req))
		TH_LOG("[F5] MIG_DATA_SIZE is GET only");
	EXPECT_EQ(-EINVAL, ask(self->dev.fd, PROBE | GET | SET | INFO_V2, HEADER, &req))
		TH_LOG("[F5] MIG_PRECOPY_INFOv2 is SET only");
}

TEST_F(mig_feature, f6_probe_of_the_wrong_direction)
{
	struct request req;

	EXPECT_EQ(-EINVAL, ask(self->dev.fd, PROBE | SET | MIGRATION, HEADER + 8, &req))
		TH_LOG("[F6] [G1]");
	EXPECT_EQ(-EINVAL, ask(self->dev.fd, PROBE | SET | DATA_SIZE, HEADER + 8, &req))
		TH_LOG("[F6] [Z1]");
	EXPECT_EQ(-EINVAL, ask(self->dev.fd, PROBE | GET | INFO_V2, HEADER, &req))
		TH_LOG("[F6] [V1]");
}

TEST_F(mig_feature, f7_f9_probe_alone_with_bare_header)
{
	static const __u32 feature[] = { MIGRATION, STATE, DATA_SIZE };
	struct request req;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(feature); i++) {
		EXPECT_EQ(0, ask(self->dev.fd, PROBE | feature[i], HEADER, &req))
			TH_LOG("[F7] [F9] feature %u", feature[i]);
		EXPECT_TRUE(untouched(&req, 0))
			TH_LOG("[F14] feature %u wrote a payload", feature[i]);
	}
	EXPECT_EQ(0, ask(self->dev.fd, PROBE | GET | STATE, HEADER, &req)) TH_LOG("[F9] GET");
	EXPECT_EQ(0, ask(self->dev.fd, PROBE | SET | STATE, HEADER, &req)) TH_LOG("[F9] SET");
}

TEST_F(mig_feature, f8_neither_probe_nor_direction)
{
	static const __u32 feature[] = { MIGRATION, STATE, DATA_SIZE, INFO_V2 };
	struct request req;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(feature); i++)
		EXPECT_EQ(-EINVAL, ask(self->dev.fd, feature[i], HEADER + 8, &req))
			TH_LOG("[F8] feature %u", feature[i]);
}

TEST_F(mig_feature, f10_payload_too_short)
{
	struct request req = {};
	__u32 size, state = ST;

	for (size = 0; size < 8; size++) {
		EXPECT_EQ(-EINVAL, ask(self->dev.fd, GET | MIGRATION, HEADER + size, &req))
			TH_LOG("[F10] MIGRATION, %u bytes", size);
		EXPECT_EQ(-EINVAL, ask(self->dev.fd, GET | STATE, HEADER + size, &req))
			TH_LOG("[F10] GET MIG_DEVICE_STATE, %u bytes", size);
		EXPECT_EQ(-EINVAL, ask(self->dev.fd, GET | DATA_SIZE, HEADER + size, &req))
			TH_LOG("[F10] MIG_DATA_SIZE, %u bytes", size);
		EXPECT_TRUE(untouched(&req, 0)) TH_LOG("[F10] a payload was written");

		req.argsz = HEADER + size;
		req.flags = SET | STATE;
		memcpy(req.payload, &state, sizeof(state));
		EXPECT_EQ(-EINVAL, mig_ioctl(self->dev.fd, VFIO_DEVICE_FEATURE, &req))
			TH_LOG("[F10] SET MIG_DEVICE_STATE, %u bytes", size);
		EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[F10] the state changed");
	}
}

TEST_F(mig_feature, f11_larger_argsz)
{
	static const __u32 feature[] = { MIGRATION, STATE, DATA_SIZE };
	struct request req;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(feature); i++) {
		EXPECT_EQ(0, ask(self->dev.fd, GET | feature[i], sizeof(req), &req))
			TH_LOG("[F11] feature %u", feature[i]);
		EXPECT_TRUE(untouched(&req, 8))
			TH_LOG("[F11] feature %u wrote behind its payload", feature[i]);
	}
}

TEST_F(mig_feature, f12_unknown_feature)
{
	static const __u32 feature[] = { 200, 0x7fff, 0xffff };
	struct request req;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(feature); i++) {
		EXPECT_EQ(-ENOTTY, ask(self->dev.fd, PROBE | feature[i], HEADER, &req))
			TH_LOG("[F12] PROBE %u", feature[i]);
		EXPECT_EQ(-ENOTTY, ask(self->dev.fd, GET | feature[i], HEADER + 8, &req))
			TH_LOG("[F12] GET %u", feature[i]);
		EXPECT_EQ(-ENOTTY, ask(self->dev.fd, SET | feature[i], HEADER + 8, &req))
			TH_LOG("[F12] SET %u", feature[i]);
	}
}

TEST_F(mig_feature, f13_f15_dma_logging_whole_or_not_at_all)
{
	struct request req;
	int start = ask(self->dev.fd, PROBE | LOG_START, HEADER, &req);
	int stop = ask(self->dev.fd, PROBE | LOG_STOP, HEADER, &req);
	int report = ask(self->dev.fd, PROBE | LOG_REPORT, HEADER, &req);

	EXPECT_TRUE(start == 0 || start == -ENOTTY) TH_LOG("[F13] START: %d", start);
	EXPECT_EQ(start, stop) TH_LOG("[F13] [F15]");
	EXPECT_EQ(start, report) TH_LOG("[F13] [F15]");
	if (start)
		EXPECT_EQ(-ENOTTY, ask(self->dev.fd, SET | LOG_STOP, HEADER, &req))
			TH_LOG("[F13] STOP without logging operations");
}

TEST_F(mig_feature, f14_probe_has_no_side_effect)
{
	struct request req = { .argsz = HEADER + 8, .flags = PROBE | SET | STATE };
	__u32 state = ST;

	memcpy(req.payload, &state, sizeof(state));
	EXPECT_EQ(0, mig_ioctl(self->dev.fd, VFIO_DEVICE_FEATURE, &req)) TH_LOG("[F14]");
	EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[F14] PROBE changed the state");
	EXPECT_EQ(0, ask(self->dev.fd, PROBE | GET | STATE, HEADER + 8, &req));
	EXPECT_TRUE(untouched(&req, 0)) TH_LOG("[F14] PROBE wrote an answer");
}

TEST_F(mig_precopy, f14_v3_probe_of_info_v2)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info), .flags = 0xdeadbeef };
	struct request req;
	int fd;

	EXPECT_EQ(0, ask(self->dev.fd, PROBE | INFO_V2, HEADER, &req)) TH_LOG("[F7] [V3]");
	EXPECT_EQ(0, ask(self->dev.fd, PROBE | SET | INFO_V2, HEADER, &req)) TH_LOG("[V3]");
	fd = mig_set(&self->dev, PC);
	EXPECT_EQ(0, mig_ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO, &info));
	EXPECT_EQ(0xdeadbeef, info.flags) TH_LOG("[V3] [F14] PROBE switched v2 on");
	close(fd);
}

TEST_F(mig_feature, g1_migration_is_get_only)
{
	struct request req;

	EXPECT_EQ(-EINVAL, ask(self->dev.fd, SET | MIGRATION, HEADER + 8, &req)) TH_LOG("[G1]");
}

TEST_F(mig_feature, g2_g4_legal_flags)
{
	__u64 flags = self->dev.flags;

	EXPECT_TRUE(flags == 1 || flags == 3 || flags == 5 || flags == 7)
		TH_LOG("[G2] flags %#llx", flags);
	EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[G4] RUNNING needs no flag");
}

TEST_F(mig_feature, g3_g5_s2_z2_z4_in_every_state)
{
	struct vfio_device_feature_migration mig;
	__u64 size;
	int state, fd;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(self->dev.flags, state))
			continue;
		fd = mig_set(&self->dev, state);
		mig.flags = ~0ULL;
		EXPECT_EQ(0, mig_feature(self->dev.fd, GET | MIGRATION, &mig, sizeof(mig)))
			TH_LOG("[G3] in %s", mig_state_name(state));
		EXPECT_EQ(self->dev.flags, mig.flags)
			TH_LOG("[G5] other flags in %s", mig_state_name(state));
		EXPECT_EQ(state, mig_get(&self->dev)) TH_LOG("[S2]");
		EXPECT_EQ(0, mig_data_size(&self->dev, &size))
			TH_LOG("[Z2] in %s", mig_state_name(state));
		EXPECT_TRUE(size > 0 && size < 1ULL << 48)
			TH_LOG("[Z4] %llu in %s", size, mig_state_name(state));
		EXPECT_EQ(0, mig_reset(&self->dev));
		if (fd >= 0)
			close(fd);
	}
}

/* Running into ERROR is up to the driver: a bad stream may do it, and then this holds. */
TEST_F(mig_feature, g3_s3_after_a_failed_load)
{
	struct vfio_device_feature_migration mig = {};
	int fd = mig_set(&self->dev, RE), none, state;
	__u64 size;

	EXPECT_NE(0, __mig_set(&self->dev, ST, &none)) TH_LOG("[R3]");
	state = __mig_get(&self->dev);
	EXPECT_TRUE(state == RE || state == ERR) TH_LOG("[S3] state %d", state);
	EXPECT_EQ(0, mig_feature(self->dev.fd, GET | MIGRATION, &mig, sizeof(mig)))
		TH_LOG("[G3]");
	EXPECT_EQ(self->dev.flags, mig.flags) TH_LOG("[G5]");
	EXPECT_EQ(0, mig_data_size(&self->dev, &size)) TH_LOG("[Z2]");
	close(fd);
}

/* Which features there are, and for which direction. */
static void features(struct mig_device *dev, int *answer)
{
	struct request req;
	__u32 feature;

	for (feature = 0; feature < 16; feature++) {
		answer[3 * feature] = ask(dev->fd, PROBE | feature, HEADER, &req);
		answer[3 * feature + 1] = ask(dev->fd, PROBE | GET | feature, HEADER, &req);
		answer[3 * feature + 2] = ask(dev->fd, PROBE | SET | feature, HEADER, &req);
	}
}

TEST_F(mig_feature, f16_g5_the_features_never_change)
{
	int first[3 * 16], now[3 * 16];
	__u64 flags = self->dev.flags;
	int state, fd;

	features(&self->dev, first);
	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(flags, state))
			continue;
		fd = mig_set(&self->dev, state);
		features(&self->dev, now);
		EXPECT_EQ(0, memcmp(first, now, sizeof(now)))
			TH_LOG("[F16] in %s", mig_state_name(state));
		EXPECT_EQ(0, mig_reset(&self->dev));
		if (fd >= 0)
			close(fd);
		features(&self->dev, now);
		EXPECT_EQ(0, memcmp(first, now, sizeof(now))) TH_LOG("[F16] after a reset");
	}
	mig_close(&self->dev);
	mig_open(&self->dev);
	features(&self->dev, now);
	EXPECT_EQ(0, memcmp(first, now, sizeof(now))) TH_LOG("[F16] after a close");
	EXPECT_EQ(flags, self->dev.flags) TH_LOG("[G5]");
}

TEST_F(mig_feature, z1_data_size_is_get_only)
{
	struct request req;

	EXPECT_EQ(-EINVAL, ask(self->dev.fd, SET | DATA_SIZE, HEADER + 8, &req)) TH_LOG("[Z1]");
	EXPECT_EQ(0, ask(self->dev.fd, PROBE | GET | DATA_SIZE, HEADER, &req)) TH_LOG("[Z1]");
}

TEST_F(mig_feature, z3_z5_data_size_bounds_the_stream)
{
	struct mig_buf buf = {};
	__u64 size;

	mig_set(&self->dev, ST);
	ASSERT_EQ(0, mig_data_size(&self->dev, &size));
	mig_save(&self->dev, &buf);
	EXPECT_GE(size, buf.len) TH_LOG("[Z5] the stream is longer than announced");
	EXPECT_GT(buf.len, 0);
	mig_buf_free(&buf);
}

TEST_F(mig_precopy, v1_info_v2_is_set_only)
{
	struct request req;

	EXPECT_EQ(-EINVAL, ask(self->dev.fd, GET | INFO_V2, HEADER, &req)) TH_LOG("[V1]");
	EXPECT_EQ(0, ask(self->dev.fd, SET | INFO_V2, HEADER, &req)) TH_LOG("[V1] no payload");
}

TEST_F(mig_no_precopy, v2_info_v2_without_precopy)
{
	static const __u32 flags[] = { PROBE, PROBE | SET, PROBE | GET, SET, GET };
	struct request req;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++)
		EXPECT_EQ(-EINVAL, ask(self->dev.fd, flags[i] | INFO_V2, HEADER, &req))
			TH_LOG("[V2] flags %#x", flags[i]);
}

static __u32 echoed_flags(struct mig_device *dev)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info), .flags = 0xdeadbeef };
	int fd = mig_set(dev, PC);

	if (mig_ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO, &info))
		mig_die("VFIO_MIG_GET_PRECOPY_INFO: %s", strerror(errno));
	mig_set(dev, R);
	close(fd);
	return info.flags;
}

TEST_F(mig_precopy, v4_x5_info_v2_lasts_until_the_last_close)
{
	int state, fd;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(self->dev.flags, state))
			continue;
		fd = mig_set(&self->dev, state);
		EXPECT_EQ(0, mig_precopy_v2(&self->dev))
			TH_LOG("[V4] in %s", mig_state_name(state));
		EXPECT_EQ(state, mig_get(&self->dev)) TH_LOG("[V4] changed the state");
		EXPECT_EQ(0, mig_reset(&self->dev));
		if (fd >= 0)
			close(fd);
		EXPECT_EQ(0, echoed_flags(&self->dev)) TH_LOG("[V4] [X5] lost by a reset");
	}
	mig_close(&self->dev);
	mig_open(&self->dev);
	EXPECT_EQ(0xdeadbeef, echoed_flags(&self->dev)) TH_LOG("[V4] survived the last close");
}

TEST_F(mig_precopy_group, v5_info_v2_is_shared_by_all_opens)
{
	struct mig_device group;
	int other;

	mig_close(&self->dev);
	ASSERT_EQ(0, __mig_open(&group, mig_path(), MIG_GROUP));
	other = mig_device_fd(&group);
	ASSERT_LE(0, other);
	EXPECT_EQ(0xdeadbeef, echoed_flags(&group)) TH_LOG("[V5] v2 before anyone asked");
	EXPECT_EQ(0, mig_feature(other, SET | INFO_V2, NULL, 0));
	EXPECT_EQ(0, echoed_flags(&group)) TH_LOG("[V5] set through another file");
	close(other);
	EXPECT_EQ(0, echoed_flags(&group)) TH_LOG("[V5] this was not the last close");
	mig_close(&group);
	mig_open(&self->dev);
}

static const struct mig_need needs[] = {
	{ "mig_precopy", mig_has_precopy },
	{ "mig_precopy_group", mig_has_precopy },
	{ "mig_no_precopy", mig_no_precopy },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
