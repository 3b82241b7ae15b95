// SPDX-License-Identifier: GPL-2.0
/*
 * The path from each state to each other, written from the text of the uAPI and not taken
 * from any code.
 */
#include <string.h>

#include "kselftest.h"

#include "matrix.h"
#include "vfio_migration.h"

/*
 * Rows and columns of the path matrices are in the order of the first line. A cell is the
 * states on the way, "=" for none, "X" for a refusal.
 */
struct matrix {
	__u64 flags;
	const char *order;
	const char *row[7];
};

static const struct matrix matrices[] = {
	{
		VFIO_MIGRATION_STOP_COPY,
		"R ST SC RE",
		{
			"= ST ST>SC ST>RE",
			"R = SC RE",
			"ST>R ST = ST>RE",
			"ST>R ST ST>SC =",
		},
	}, {
		VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P,
		"R RP ST SC RE",
		{
			"= RP RP>ST RP>ST>SC RP>ST>RE",
			"R = ST ST>SC ST>RE",
			"RP>R RP = SC RE",
			"ST>RP>R ST>RP ST = ST>RE",
			"ST>RP>R ST>RP ST ST>SC =",
		},
	}, {
		VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY,
		"R PC ST SC RE",
		{
			"= PC ST ST>SC ST>RE",
			"R = R>ST SC R>ST>RE",
			"R R>PC = SC RE",
			"ST>R X ST = ST>RE",
			"ST>R ST>R>PC ST ST>SC =",
		},
	}, {
		VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY,
		"R RP PC PP ST SC RE",
		{
			"= RP PC RP>PP RP>ST RP>ST>SC RP>ST>RE",
			"R = R>PC PP ST ST>SC ST>RE",
			"R R>RP = PP R>RP>ST PP>SC R>RP>ST>RE",
			"RP>R RP PC = RP>ST SC RP>ST>RE",
			"RP>R RP RP>R>PC RP>PP = SC RE",
			"ST>RP>R ST>RP X X ST = ST>RE",
			"ST>RP>R ST>RP ST>RP>R>PC ST>RP>PP ST ST>SC =",
		},
	},
};

static int word(const char *text, size_t len)
{
	static const struct {
		const char *name;
		int state;
	} names[] = {
		{ "R", R }, { "RP", RP }, { "PC", PC }, { "PP", PP },
		{ "ST", ST }, { "SC", SC }, { "RE", RE },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i].name) == len && !memcmp(names[i].name, text, len))
			return names[i].state;
	mig_die("the matrix names no state: %.*s", (int)len, text);
}

static int column(const struct matrix *matrix, int state)
{
	const char *at = matrix->order;
	int i;

	for (i = 0; *at; i++) {
		size_t len = strcspn(at, " ");

		if (word(at, len) == state)
			return i;
		at += len + strspn(at + len, " ");
	}
	return -1;
}

struct mig_path mig_way(__u64 flags, int from, int to)
{
	struct mig_path way = { .refused = true };
	const struct matrix *matrix = NULL;
	const char *at;
	size_t i;
	int skip;

	for (i = 0; i < ARRAY_SIZE(matrices); i++)
		if (matrices[i].flags == flags)
			matrix = &matrices[i];
	if (!matrix)
		mig_die("[G2] no matrix for flags %#llx", flags);
	skip = column(matrix, to);
	if (skip < 0)
		return way;
	at = matrix->row[column(matrix, from)];
	while (skip--)
		at += strcspn(at, " ") + 1;
	if (*at == 'X')
		return way;
	way.refused = false;
	while (*at && *at != ' ' && *at != '=') {
		size_t len = strcspn(at, " >");

		way.state[way.steps++] = word(at, len);
		at += len + (at[len] == '>');
	}
	return way;
}

/* Calls back for each arc of each transition, and says how many there were. */
unsigned int mig_every_arc(__u64 flags, void (*call)(void *arg, const struct mig_arc *arc),
			   void *arg)
{
	unsigned int count = 0;
	struct mig_arc arc;
	int i;

	for (arc.from = 0; arc.from < MIG_STATES; arc.from++)
		for (arc.to = 0; arc.to < MIG_STATES; arc.to++) {
			struct mig_path way;

			if (!mig_supports(flags, arc.from))
				continue;
			way = mig_way(flags, arc.from, arc.to);
			arc.leaves = arc.from;
			for (i = 0; !way.refused && i < way.steps; i++) {
				arc.enters = way.state[i];
				call(arg, &arc);
				arc.leaves = arc.enters;
				count++;
			}
		}
	return count;
}

/* Where a session that saves ends, there is nothing to go back to. */
bool mig_can_keep(const struct mig_arc *arc)
{
	return !mig_saving(arc->leaves) || mig_saving(arc->enters);
}
