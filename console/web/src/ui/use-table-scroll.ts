/** The scroll position of a table that is taller than browsers allow. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { afterScroll, toScroll } from "./scroll-window";

/** The time without scrolling after which the scroll bar is set to the position, in milliseconds. */
const SETTLE_MS = 150;

/** Follows the scroll position and the size of an element. */
export function useTableScroll(scroller: { current: HTMLDivElement | null }, content: number, rowHeight: number) {
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [place, setPlace] = useState({ position: 0, left: 0 });
  const state = useRef({ position: 0, scrollTop: 0, settle: 0 });
  const heights = { content: content + rowHeight + 4, viewport: size.height };
  const latest = useRef(heights);
  latest.current = heights;

  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) {
      return undefined;
    }
    const settle = () => {
      state.current.scrollTop = Math.round(toScroll(state.current.position, latest.current));
      element.scrollTop = state.current.scrollTop;
    };
    const onScroll = () => {
      const { position, scrollTop } = state.current;
      state.current.position = afterScroll(position, scrollTop, element.scrollTop, latest.current);
      state.current.scrollTop = element.scrollTop;
      setPlace({ position: state.current.position, left: element.scrollLeft });
      clearTimeout(state.current.settle);
      state.current.settle = window.setTimeout(settle, SETTLE_MS);
    };
    const observer = new ResizeObserver(() => setSize({ width: element.clientWidth, height: element.clientHeight }));
    observer.observe(element);
    element.addEventListener("scroll", onScroll, { passive: true });
    return () => {
      clearTimeout(state.current.settle);
      observer.disconnect();
      element.removeEventListener("scroll", onScroll);
    };
  }, []);

  useEffect(() => {
    const element = scroller.current;
    if (element && state.current.position > Math.max(0, heights.content - heights.viewport)) {
      state.current = { ...state.current, position: 0, scrollTop: 0 };
      element.scrollTop = 0;
      setPlace({ position: 0, left: element.scrollLeft });
    }
  }, [content]);

  const scrollTo = (row: number, start: number, end: number) => {
    const element = scroller.current;
    if (!element) {
      return;
    }
    const head = rowHeight + 4;
    const top = row * rowHeight;
    const { position } = state.current;
    const to = top < position ? top : Math.max(position, top + rowHeight + head - size.height);
    if (to !== position) {
      state.current.position = to;
      state.current.scrollTop = Math.round(toScroll(to, latest.current));
      element.scrollTop = state.current.scrollTop;
    }
    if (start < element.scrollLeft) {
      element.scrollLeft = start;
    } else if (end > element.scrollLeft + size.width) {
      element.scrollLeft = Math.min(start, end - size.width);
    }
    setPlace({ position: state.current.position, left: element.scrollLeft });
  };
  return { size, position: place.position, left: place.left, scrollTo };
}
