"""Lines of seasons."""


def line(month, season) -> "LineBuilder":
    return LineBuilder("seasons").tag("season", season).int64_field("month", month).time_ns(month)
