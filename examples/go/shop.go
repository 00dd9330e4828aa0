package main

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"

	"github.com/brotherpos/bpos/bindings/go"
)

// What every store begins with: its tables, by their names.
//
//go:embed shop.json
var madeUp []byte

// A shop is made up, and in memory. It knows nothing of keys: by the time a request arrives here it has been
// authorized, and its decision says whose data it may see.
type shop struct {
	mutex  sync.Mutex
	stores map[string]tables
}

type (
	tables map[string][]row
	row    map[string]any
	// A task reads or changes a store's tables, and returns status and body of the answer.
	task func(store tables, request *http.Request, body row) (int, any)
)

func newShop() http.Handler {
	s := &shop{stores: map[string]tables{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/{table}", s.serve(all))
	mux.HandleFunc("GET /api/v1/{table}/{id}", s.serve(one))
	mux.HandleFunc("POST /api/v1/customers", s.serve(createCustomer))
	mux.HandleFunc("POST /api/v1/inventory/adjustments", s.serve(adjustStock))
	mux.HandleFunc("PATCH /api/v1/products/bulk", s.serve(updateProducts))
	return mux
}

func all(store tables, request *http.Request, _ row) (int, any) {
	rows, found := store[request.PathValue("table")]
	if !found {
		return http.StatusNotFound, nil
	}
	return http.StatusOK, rows
}

func one(store tables, request *http.Request, _ row) (int, any) {
	id, _ := strconv.ParseFloat(request.PathValue("id"), 64)
	row := find(store[request.PathValue("table")], id)
	if row == nil {
		return http.StatusNotFound, nil
	}
	return http.StatusOK, row
}

func createCustomer(store tables, _ *http.Request, body row) (int, any) {
	customer := row{"id": float64(len(store["customers"]) + 1), "name": body["name"], "email": body["email"]}
	store["customers"] = append(store["customers"], customer)
	return http.StatusCreated, customer
}

// adjustStock takes {"product_id": 2, "change": -4}.
func adjustStock(store tables, _ *http.Request, body row) (int, any) {
	level := find(store["inventory"], body["product_id"])
	change, isNumber := body["change"].(float64)
	if level == nil || !isNumber || level["stock"].(float64)+change < 0 {
		return http.StatusUnprocessableEntity, nil
	}
	level["stock"] = level["stock"].(float64) + change
	return http.StatusCreated, body
}

// updateProducts takes {"products": [{"id": 1, "price_cents": 375}]}.
func updateProducts(store tables, _ *http.Request, body row) (int, any) {
	updated := 0
	products, _ := body["products"].([]any)
	for _, product := range products {
		change, _ := product.(map[string]any)
		price, isNumber := change["price_cents"].(float64)
		if known := find(store["products"], change["id"]); known != nil && isNumber {
			known["price_cents"] = price
			updated++
		}
	}
	return http.StatusOK, row{"updated": updated}
}

// serve works on the tables of the store that the key belongs to, and answers in JSON.
func (s *shop) serve(work task) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		body := row{}
		if request.ContentLength != 0 {
			if json.NewDecoder(http.MaxBytesReader(w, request.Body, 64<<10)).Decode(&body) != nil {
				http.Error(w, "expected a JSON object", http.StatusBadRequest)
				return
			}
		}
		decision, _ := bpos.FromContext(request.Context())

		s.mutex.Lock()
		defer s.mutex.Unlock()
		store, found := s.stores[decision.Store()]
		if !found {
			if err := json.Unmarshal(madeUp, &store); err != nil {
				panic(err)
			}
			s.stores[decision.Store()] = store
		}
		status, answer := work(store, request, body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(answer)
	}
}

func find(rows []row, id any) row {
	for _, row := range rows {
		if row["id"] == id {
			return row
		}
	}
	return nil
}
