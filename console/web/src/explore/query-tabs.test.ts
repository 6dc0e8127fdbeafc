import { beforeEach, expect, test } from "vitest";
import { closeTab, currentTab, MAX_TABS, openEmptyTab, openTab, selectNeighbour, tabs, updateTab } from "./query-tabs";

beforeEach(() => {
  for (const { id } of tabs.value) {
    closeTab(id);
  }
});

function names(): string[] {
  return tabs.value.map(({ name }) => name);
}

test("an_empty_tab_is_replaced_by_the_next_one", () => {
  openTab({ text: "SELECT 1" });
  expect(names()).toEqual(["Query 1"]);
  openEmptyTab();
  openEmptyTab();
  expect(names()).toEqual(["Query 1", "Query 2"]);
});

test("a_preview_is_replaced_by_the_next_preview_until_it_is_changed", () => {
  openTab({ name: "soil", text: "SELECT 1", isPreview: true });
  openTab({ name: "air", text: "SELECT 2", isPreview: true });
  expect(names()).toEqual(["air"]);
  updateTab(currentTab.value.id, { isPreview: false });
  openTab({ name: "soil", text: "SELECT 1", isPreview: true });
  expect(names()).toEqual(["air", "soil"]);
});

test("closing_the_shown_tab_shows_its_neighbour_and_the_last_one_leaves_an_empty_tab", () => {
  openTab({ name: "a", text: "1" });
  openTab({ name: "b", text: "2" });
  openTab({ name: "c", text: "3" });
  selectNeighbour(-1);
  closeTab(currentTab.value.id);
  expect(currentTab.value.name).toBe("c");
  closeTab(currentTab.value.id);
  closeTab(currentTab.value.id);
  expect(currentTab.value.text).toBe("");
  expect(tabs.value).toHaveLength(1);
});

test("the_number_of_tabs_is_bounded", () => {
  for (let at = 0; at < MAX_TABS + 5; at++) {
    openTab({ text: `SELECT ${at}` });
  }
  expect(tabs.value).toHaveLength(MAX_TABS);
});
