-- A decision's document, some 2.5 kB when compressed, stays in its row: out of line it took two
-- rows and two index entries of the TOAST table for each decision.
alter table decision alter column document set storage main;
