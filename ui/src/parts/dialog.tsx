/** A question before something is done, and its answer from the server. */
import { type ReactNode, useId, useLayoutEffect, useRef, useState } from "react";
import { Fault } from "./screen.tsx";

interface DialogProps {
  title: string;
  close: () => void;
  children: ReactNode;
  wide?: boolean;
}

export function Dialog({ title, close, children, wide = false }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useLayoutEffect(() => {
    const opener = document.activeElement;
    const dialog = ref.current;
    if (dialog !== null && !dialog.open) dialog.showModal();
    // A field that is to be filled, or the button that changes nothing.
    dialog
      ?.querySelector<HTMLElement>(".dialog-body :is(input, textarea, select), .dialog-foot button")
      ?.focus({ preventScroll: true });
    // However it is left: who works with keys goes on where the question was asked.
    return () => {
      dialog?.close();
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  return (
    <dialog ref={ref} onClose={close} aria-labelledby={id} className={wide ? "wide" : ""}>
      <div className="dialog-head">
        <h2 id={id}>{title}</h2>
        <button type="button" className="quiet" onClick={close} aria-label="Close">
          ✕
        </button>
      </div>
      {children}
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  verb: string;
  danger?: boolean;
  close: () => void;
  act: () => Promise<void>;
  children?: ReactNode;
}

/** Says what will happen, does it, and stays with the reason if it is refused. */
export function Confirm({ title, verb, danger = false, close, act, children }: ConfirmProps) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const go = async () => {
    setBusy(true);
    setError(null);
    try {
      await act();
      close();
    } catch (caught) {
      setError(caught);
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} close={close}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void go();
        }}
      >
        <div className="dialog-body">
          {children}
          {error !== null && <Fault error={error} />}
        </div>
        <div className="dialog-foot">
          <button type="button" onClick={close}>
            Leave it
          </button>
          <button type="submit" className={danger ? "danger" : "primary"} disabled={busy}>
            {busy ? "One moment" : verb}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
