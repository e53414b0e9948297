/** Views of one thing; the chosen one is in the URL. */
import { A, useSearch } from "../url.tsx";

export interface Tab {
  id: string;
  title: string;
  count?: number | undefined;
}

export function Tabs({
  tabs,
  name,
  chosen,
  label,
}: {
  tabs: readonly Tab[];
  name: string;
  chosen: string;
  label: string;
}) {
  const search = useSearch();
  return (
    <nav className="tabs" aria-label={label}>
      {tabs.map((tab) => (
        <A
          key={tab.id}
          to="."
          search={{ ...search, [name]: tab.id }}
          aria-current={tab.id === chosen ? "page" : undefined}
          className="tab"
        >
          {tab.title}
          {tab.count !== undefined && tab.count > 0 && <span className="count">{tab.count.toLocaleString()}</span>}
        </A>
      ))}
    </nav>
  );
}
