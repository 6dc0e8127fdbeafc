"""What a month belongs to."""

SEASONS = ["winter", "spring", "summer", "autumn"]


def season(month):
    return SEASONS[month % 12 // 3]
