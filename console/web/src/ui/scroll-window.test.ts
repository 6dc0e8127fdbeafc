import { expect, test } from "vitest";
import { afterScroll, elementHeight, MAX_HEIGHT, toContent, toScroll } from "./scroll-window";

const LOW = { content: 10_000, viewport: 500 };
const HIGH = { content: 5_000_000 * 26, viewport: 500 };

test("a_low_list_scrolls_pixel_by_pixel", () => {
  expect(elementHeight(LOW)).toBe(10_000);
  expect(afterScroll(0, 0, 1234, LOW)).toBe(1234);
  expect(toScroll(9_500, LOW)).toBe(9_500);
});

test("a_high_list_is_reached_from_end_to_end_by_the_scroll_bar", () => {
  expect(elementHeight(HIGH)).toBe(MAX_HEIGHT);
  expect(toContent(0, HIGH)).toBe(0);
  expect(toContent(MAX_HEIGHT - 500, HIGH)).toBe(HIGH.content - 500);
  expect(afterScroll(0, 0, MAX_HEIGHT / 2, HIGH)).toBeCloseTo(HIGH.content / 2, -4);
});

test("a_short_move_in_a_high_list_moves_it_by_as_many_pixels", () => {
  expect(afterScroll(1_000_000, 60_000, 60_100, HIGH)).toBe(1_000_100);
});

test("positions_and_scroll_bars_are_inverse", () => {
  for (const position of [0, 1, 777_777, HIGH.content - 500]) {
    expect(toContent(toScroll(position, HIGH), HIGH)).toBeCloseTo(position, 3);
  }
});
