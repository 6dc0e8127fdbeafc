/** The components that all views share. */

export { Button, CopyButton, copyText, IconButton, Spinner, Tooltip } from "./button";
export { ConfirmDialog, Dialog } from "./dialog";
export { Checkbox, Select, type SelectOption, TextField } from "./fields";
export { Icon, type IconName } from "./icons";
export { Lazy, useModule } from "./lazy";
export { Menu, type MenuItem, Popover } from "./menu";
export { EmptyState, ErrorNote, Note } from "./notes";
export { RefreshSelect } from "./refresh-select";
export { Splitter } from "./splitter";
export { Tabs } from "./tabs";
export { textScale } from "./text-scale";
export { TimeRangePicker } from "./time-range-picker";
export { notify } from "./toast";
export { type TableColumn, type TableSort, VirtualTable } from "./virtual-table";
