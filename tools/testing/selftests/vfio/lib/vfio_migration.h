/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VFIO device under test and its migration state.
 *
 * __mig_x() returns 0 or -errno, for tests of errors; mig_x() ends the test when it fails.
 */
#ifndef SELFTESTS_VFIO_MIGRATION_H
#define SELFTESTS_VFIO_MIGRATION_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include <linux/vfio.h>

/* A debug kernel on an emulated processor takes its time. A hang is found all the same. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	300

enum mig_mode {
	MIG_CDEV,	/* character device and iommufd */
	MIG_GROUP,	/* group and legacy container */
};

/* Longer names of the states, as this is what the tests are about. */
enum {
	ERR = VFIO_DEVICE_STATE_ERROR,
	ST = VFIO_DEVICE_STATE_STOP,
	R = VFIO_DEVICE_STATE_RUNNING,
	SC = VFIO_DEVICE_STATE_STOP_COPY,
	RE = VFIO_DEVICE_STATE_RESUMING,
	RP = VFIO_DEVICE_STATE_RUNNING_P2P,
	PC = VFIO_DEVICE_STATE_PRE_COPY,
	PP = VFIO_DEVICE_STATE_PRE_COPY_P2P,
	MIG_STATES,
};

struct mig_device {
	const char *path;	/* in sysfs */
	const char *name;	/* last part of path */
	enum mig_mode mode;
	int container;		/* or iommufd */
	int group;
	int fd;
	__u32 ioas;		/* its address space, with an iommufd */
	__u64 flags;		/* VFIO_MIGRATION_* */
};

struct mig_buf {
	unsigned char *data;
	size_t len;
	size_t cap;
};

/* Sizes of the single reads or writes: all of min..max, in an order that seed fixes. */
struct mig_cut {
	size_t min;
	size_t max;
	uint64_t seed;
};

#define MIG_WHOLE	((struct mig_cut){ 1 << 20, 1 << 20, 1 })

/* One record of a stream of 16-byte headers {le64 size, le32 flags, le32 tag}. */
struct mig_record {
	size_t start;		/* of the header */
	size_t size;		/* of what follows it */
	__u32 flags;
	__u32 tag;
};

#define MIG_RECORD_HEADER	16

/* The most interrupts that mig_eventfds() connects. */
#define MIG_VECTORS	8

/* End the test as failed. */
#define mig_die(fmt, ...) do { \
	fprintf(stderr, "# %s:%d: " fmt "\n", __FILE__, __LINE__, ##__VA_ARGS__); \
	abort(); \
} while (0)

/* vfio_migration.c: the device */
const char *mig_path(void);
const char *mig_peer_path(void);
const char *mig_foreign_path(void);
enum mig_mode mig_mode(void);
int __mig_open(struct mig_device *dev, const char *path, enum mig_mode mode);
void mig_open(struct mig_device *dev);
void mig_close(struct mig_device *dev);
int mig_device_fd(struct mig_device *dev);
int mig_reset(struct mig_device *dev);
int mig_region(struct mig_device *dev, unsigned int index, struct vfio_region_info *info);
bool mig_has_pci_id(const struct mig_device *dev, __u32 wanted);
void *mig_mmap(struct mig_device *dev, size_t *size);
int mig_eventfds(struct mig_device *dev, int *fd, unsigned int count);

/* map.c: memory for its DMA */
int mig_map(struct mig_device *dev, void *memory, __u64 iova, __u64 length, bool writable);
int mig_unmap(struct mig_device *dev, __u64 iova, __u64 length);

/* state.c: features and states */
int mig_ioctl(int fd, unsigned long cmd, void *arg);
int mig_feature(int fd, __u32 flags, void *payload, size_t size);
int __mig_set(struct mig_device *dev, __u32 state, int *data_fd);
int mig_set(struct mig_device *dev, __u32 state);
int __mig_get(struct mig_device *dev);
int mig_get(struct mig_device *dev);
const char *mig_state_name(int state);
bool mig_supports(__u64 flags, int state);
bool mig_saving(int state);
int mig_data_size(struct mig_device *dev, __u64 *size);
int mig_precopy_info(int data_fd, struct vfio_precopy_info *info);
int mig_precopy_v2(struct mig_device *dev);
bool mig_reads_nothing(int data_fd);

/* stream.c: bytes */
uint64_t mig_random(uint64_t *seed);
uint64_t mig_seed(uint64_t seed);
size_t mig_rounds(size_t rounds);
size_t mig_cut_next(struct mig_cut *cut);
void mig_buf_add(struct mig_buf *buf, const void *data, size_t len);
void mig_buf_free(struct mig_buf *buf);
int mig_read(int data_fd, struct mig_buf *buf, struct mig_cut cut);
int mig_write(int data_fd, const void *data, size_t len, struct mig_cut cut);
void mig_save(struct mig_device *dev, struct mig_buf *buf);
int __mig_load(struct mig_device *dev, const struct mig_buf *buf, struct mig_cut cut);
void mig_open_sampled(struct mig_device *dev, struct mig_buf *ref, int state);
int mig_enter(struct mig_device *dev, const struct mig_buf *ref, int state);
bool mig_buf_equal(const struct mig_buf *a, const struct mig_buf *b);
bool mig_round_trip(struct mig_device *dev, const struct mig_buf *buf);
size_t mig_records(const struct mig_buf *buf, struct mig_record *rec, size_t max);
size_t mig_offsets(const struct mig_buf *buf, size_t small, size_t sample, size_t **list);

/* select.c: the tests that apply to this device */
struct mig_need {
	const char *fixture;
	bool (*applies)(const struct mig_device *dev);
};

char **mig_select(int *argc, char **argv, const struct mig_need *needs, size_t count);
bool mig_has_precopy(const struct mig_device *dev);
bool mig_no_precopy(const struct mig_device *dev);
bool mig_has_p2p(const struct mig_device *dev);
bool mig_has_precopy_p2p(const struct mig_device *dev);
bool mig_has_peer(const struct mig_device *dev);
bool mig_has_foreign(const struct mig_device *dev);
bool mig_has_mmap(const struct mig_device *dev);

#endif
