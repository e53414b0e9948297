/** The list of keys. */
import { Dialog } from "../parts/dialog.tsx";

const HERE: readonly (readonly [string, string])[] = [
  ["Ctrl K", "Search, or do something"],
  ["?", "This list"],
  ["/", "Filter this list"],
  ["j  k", "Next and previous row"],
  ["Enter", "Open the row"],
  ["x", "Select the row"],
  ["1 … 6", "Views of a run"],
  ["r", "Retry the run"],
  ["c", "Cancel the run"],
  ["a", "To the button that approves"],
  ["Esc", "Close"],
];

export function Shortcuts({ close, places }: { close: () => void; places: readonly { title: string; key: string }[] }) {
  return (
    <Dialog title="Keys" close={close}>
      <div className="dialog-body keys">
        {HERE.map(([key, what]) => (
          <div key={key}>
            <kbd>{key}</kbd> <span>{what}</span>
          </div>
        ))}
        {places.map(({ key, title }) => (
          <div key={key}>
            <kbd>{key}</kbd> <span>{title}</span>
          </div>
        ))}
      </div>
    </Dialog>
  );
}
