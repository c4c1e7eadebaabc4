"""Look at a leaderboard, and add to one."""
